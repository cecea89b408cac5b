"""The grader of the evaluation, run on the completions of the training.

It is one of the recipe's terms already, or goes along as a term of weight 0: then it is called like
any other and changes no reward. So runs with different rewards have one accuracy to compare.
"""

from collections.abc import Sequence

from relex.config.recipe import Recipe
from relex.config.rewards import RewardTerm
from relex.errors import ProblemError
from relex.problems import Problem
from relex.rewards import CheckedReward, check_golds


def computed_terms(recipe: Recipe) -> tuple[RewardTerm, ...]:
    """What every completion is given a value for: the terms of the reward in their order, then the
    grader unless it is one of them."""
    if any(_is_grader(term, recipe) for term in recipe.rewards):
        return recipe.rewards
    return (*recipe.rewards, RewardTerm(reward=recipe.evaluation.grader, weight=0))


def grader_column(recipe: Recipe) -> int:
    """Place of the grader in `computed_terms`."""
    return [_is_grader(term, recipe) for term in computed_terms(recipe)].index(True)


def why_not_judged(
    recipe: Recipe, problems: Sequence[Problem], grader: CheckedReward
) -> str | None:
    """Why the accuracy on the training problems would mean nothing, or None where it does not.

    Every problem has a gold answer, but one that the grader does not understand (`check_golds`) is
    as good as none. Where the grader is a term of the reward, the recipe itself says that it does.
    """
    if any(_is_grader(term, recipe) for term in recipe.rewards):
        return None
    try:
        check_golds("train", problems, grader)
    except ProblemError as error:
        return str(error)
    return None


def _is_grader(term: RewardTerm, recipe: Recipe) -> bool:
    return term.reward == recipe.evaluation.grader and not term.params

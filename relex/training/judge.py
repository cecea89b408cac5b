"""The grader of the evaluation, run on the completions of the training.

It is one of the recipe's terms already, or goes along as a term of weight 0: then it is called like
any other and changes no reward. So runs with different rewards have one accuracy to compare.
"""

from collections.abc import Sequence

from relex.config.recipe import Recipe
from relex.config.rewards import RewardTerm
from relex.problems import Problem


def computed_terms(recipe: Recipe) -> tuple[RewardTerm, ...]:
    """What every completion is given a value for: the terms of the reward in their order, then the
    grader unless it is one of them."""
    if any(_is_grader(term, recipe) for term in recipe.rewards):
        return recipe.rewards
    return (*recipe.rewards, RewardTerm(reward=recipe.evaluation.grader, weight=0))


def grader_column(recipe: Recipe) -> int:
    """Place of the grader in `computed_terms`."""
    return [_is_grader(term, recipe) for term in computed_terms(recipe)].index(True)


def why_not_judged(problems: Sequence[Problem]) -> str | None:
    """Why the accuracy on the training problems would mean nothing, or None where it does not.

    An empty gold answer is refused when problems are loaded. One and the same for several problems,
    and for all of them, stands in the place of none, unless what their grader needs beside it
    differs.
    """
    first = problems[0]
    if len(problems) == 1 or any(
        (problem.answer, problem.extra) != (first.answer, first.extra) for problem in problems
    ):
        return None
    return (
        f"all {len(problems)} training problems have the gold answer {first.answer!r}; "
        "give each its own"
    )


def _is_grader(term: RewardTerm, recipe: Recipe) -> bool:
    return term.reward == recipe.evaluation.grader and not term.params

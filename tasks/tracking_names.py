"""What runs and models are called in MLflow, so that nobody has to open one to know what it is."""

import numpy as np

from relex.config import Recipe, RewardTerm, RunRecipe, WindowRecipe
from relex.evaluation import Dtype
from relex.safe_name import safe_name

Param = str | int | float


def run_title(recipe: Recipe | WindowRecipe) -> str:
    """`exact_match lr 1e-5 seed 0 (toy)`: what differs in a sweep first, because MLflow cuts names
    in the legends of its charts. Without training, the window in place of reward and rate."""
    if isinstance(recipe, WindowRecipe):
        return f"{recipe.window.uri} seed {recipe.seed} ({recipe.name})"
    rate = np.format_float_scientific(recipe.training.learning_rate, trim="-", exp_digits=1)
    return f"{reward_title(recipe.rewards)} lr {rate} seed {recipe.seed} ({recipe.name})"


def reward_title(terms: tuple[RewardTerm, ...]) -> str:
    """`exact_match + 0.2 format`; a reward of the user's without its module, with its params."""
    return " + ".join(_term_title(term) for term in terms)


def run_params(recipe: Recipe | WindowRecipe, last_step: int, dtype: Dtype) -> dict[str, Param]:
    """What tells runs apart, the same on a run and its children; the window ends at `last_step`,
    answers are computed in `dtype`."""
    return {
        "recipe": recipe.name,
        "base": recipe.base.path,
        "reward": reward_title(recipe.rewards),
        "seed": recipe.seed,
        "steps_trained": last_step,
        "grader": recipe.evaluation.grader,
        "dtype": dtype,
        **_origin(recipe),
    }


def _origin(recipe: Recipe | WindowRecipe) -> dict[str, Param]:
    """Where the window comes from."""
    if isinstance(recipe, WindowRecipe):
        return {"window": recipe.window.uri}
    training = recipe.training
    return {
        "learning_rate": training.learning_rate,
        "completions_per_step": training.prompts_per_step * training.completions_per_prompt,
        "kl_beta": training.kl_beta,
        "scale_rewards": training.scale_rewards,
    }


def model_name(recipe: RunRecipe) -> str:
    """Name in the registry: the recipe's, or one per base and headline benchmark.

    Versions of one name compete to be its champion, so they must be answers to one question: which
    is the best model of this base on these questions.
    """
    stated = recipe.tracking.registered_model
    if stated:
        return stated
    base = recipe.base.path.rstrip("/").rpartition("/")[2]
    return f"{safe_name(base)}-on-{recipe.problems.test[0].name}"


def _term_title(term: RewardTerm) -> str:
    name = term.reward.rpartition(":")[2]
    weight = "" if term.weight == 1 else f"{term.weight:g} "
    params = ", ".join(f"{key}={value}" for key, value in term.params.items())
    return f"{weight}{name}({params})" if params else f"{weight}{name}"

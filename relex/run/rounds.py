"""Rounds: a round is a run whose base is the model that the round before it chose.

Each has a recipe of its own, that of the whole with its number in `rounds`, and so a folder, a
digest, a record and a report of its own. The first is the run of the recipe without rounds, and
the whole is resumed as its runs are.
"""

from typing import Any

from relex.cluster import cluster_address
from relex.config import AnyRecipe, Recipe
from relex.errors import InputError, ResourceError
from relex.report import SUMMARY_FILE, Round, RunSummary
from relex.run.places import DECISION_FILE, Run
from relex.selection import Decision
from relex.storage.manifest import read_manifest, remove_folder
from relex.training import MOMENTS

OWN_TRAINER = "grpo"
"""The one that keeps its moments."""


def rounds_of(recipe: AnyRecipe) -> list[tuple[AnyRecipe, bool]]:
    """The recipe of every round, in their order, and whether another one follows.

    Raises ResourceError for several on a cluster, whose nodes do not find the base of a later one.
    """
    if not isinstance(recipe, Recipe):
        return [(recipe, False)]
    if recipe.rounds > 1 and cluster_address():
        raise ResourceError(
            f"rounds: {recipe.rounds}: the base of a later round is on this machine, where the "
            "nodes of RELEX_CLUSTER do not find it; unset RELEX_CLUSTER, or leave rounds out"
        )
    return [
        (recipe.model_copy(update={"rounds": number}), number < recipe.rounds)
        for number in range(1, recipe.rounds + 1)
    ]


def check_one_round(recipe: AnyRecipe) -> None:
    """Raise InputError for a recipe with rounds, where a command does a part of one run."""
    if isinstance(recipe, Recipe) and recipe.rounds > 1:
        raise InputError(
            f"recipe {recipe.name}: rounds: {recipe.rounds}: the base of a later round is what the "
            "one before chose, which only relex run knows; leave rounds out here"
        )


def carried_moments(run: Run) -> dict[str, Any]:
    """What the training job of a round is told about Adam's moments."""
    recipe = run.recipe
    assert isinstance(recipe, Recipe)
    if recipe.training.lora is not None or recipe.training.trainer != OWN_TRAINER:
        return {}
    kept = {"keep_moments": run.store.child(MOMENTS).uri} if run.goes_on else {}
    if run.before is None:
        return kept
    decision = Decision.model_validate_json(run.before.get(DECISION_FILE))
    was_trained = decision.chosen == decision.last_observed
    becomes = "kept" if was_trained else recipe.training.moments
    reset = decision.chosen.part if becomes == "reset_moved" else None
    if becomes == "reset" or reset == "":
        return kept
    store = run.before.child(MOMENTS)
    if read_manifest(store, MOMENTS) is None:
        run.warn(
            f"Adam's moments begin at zero: round {recipe.rounds - 1} was trained before another "
            "round was asked for, and did not keep its own"
        )
        return kept
    return {**kept, "moments": store.uri, "reset": reset}


def remove_moments(run: Run) -> None:
    """Those that the round began with, once it is done."""
    if run.before is not None:
        remove_folder(run.before.child(MOMENTS), MOMENTS)


def earlier_rounds(run: Run) -> tuple[Round, ...]:
    """What the rounds before this one came to, the first of them first."""
    if run.before is None:
        return ()
    text = run.before.child("report").get(SUMMARY_FILE)
    return RunSummary.model_validate_json(text).rounds

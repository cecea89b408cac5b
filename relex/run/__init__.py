"""The pipeline as plain functions that emit events: a short GRPO run, the line through its window,
and the best point on it. `relex.run(recipe)` does it.

A stage finds out whether it is done, works, publishes its folder with a manifest written last, and
says what happens in events. It knows no terminal, no Prefect and no MLflow: these listen.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from relex.config import AnyRecipe, check_run_recipe, load_run_recipe
from relex.report import RunSummary
from relex.run.conclude import (
    choose,
    finish,
    finished_summary,
    measure_candidates,
    publish,
    report,
    summarise,
    tidy,
)
from relex.run.finalists import measure_finalists
from relex.run.measure import open_evaluation
from relex.run.places import Run, open_run
from relex.run.preflight import validate
from relex.run.rounds import rounds_of
from relex.run.stage import Listener
from relex.run.window import fill_window, fit


def run(
    recipe: AnyRecipe | Mapping[str, Any] | Path | str, listeners: Sequence[Listener] = ()
) -> RunSummary:
    """Do the whole job of a recipe, in this process and its children, without any server.

    `recipe` is a recipe, its content, or the path of its file. The same recipe continues the same
    run: a stage that is done is not run again. `listeners` are told what happens.

    Raises the InputError of the first fault before any GPU time is spent, and the StageError of
    what failed after that.
    """
    for one, goes_on in rounds_of(as_recipe(recipe)):
        with open_run(one, listeners, goes_on=goes_on) as opened:
            validate(opened)
            summary = finished_summary(opened) or run_stages(opened)
            tidy(opened)
    return summary


def run_stages(run: Run) -> RunSummary:
    """From the window to the report."""
    fill_window(run)
    factors = fit(run)
    with open_evaluation(run, factors) as evaluation:
        compared = measure_candidates(run, evaluation)
        decision = choose(run, evaluation, compared.measured)
        tested = measure_finalists(run, evaluation, decision)
        publish(run, evaluation, decision, tested.tests)
    summary = summarise(run, decision, tested, compared.search)
    report(run, factors, summary)
    finish(run, summary)
    return summary


def as_recipe(recipe: AnyRecipe | Mapping[str, Any] | Path | str) -> AnyRecipe:
    """Raises RecipeError."""
    if isinstance(recipe, Path | str):
        return load_run_recipe(Path(recipe))
    if isinstance(recipe, Mapping):
        return check_run_recipe(dict(recipe), "recipe")
    return recipe


class _Room(ModuleType):
    """Lets `relex.run` be both this package and the function that does what it is for."""

    def __call__(self, *arguments: Any, **options: Any) -> RunSummary:
        return run(*arguments, **options)


sys.modules[__name__].__class__ = _Room

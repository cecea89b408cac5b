"""A window that is there already, the line through it, and the best point on it: no training."""

from typing import Annotated, Any, Literal

from prefect import flow

from flows.pipeline import run_to_end, take_window
from relex.config import WindowRecipe
from relex.report import RunSummary
from tasks.flow_run import run_name
from tasks.form import asks, asks_overrides, asks_preset, asks_recipe
from tasks.tracking_client import record_as_killed


@flow(
    name="relex-extrapolate",
    flow_run_name=run_name,
    validate_parameters=False,
    on_cancellation=[record_as_killed],
    on_crashed=[record_as_killed],
)
def relex_extrapolate(
    window: Annotated[str | None, asks("window", has_preset=False)] = None,
    preset: Annotated[str, asks_preset()] = "toy",
    name: Annotated[str | None, asks("name")] = None,
    base: Annotated[str | None, asks("base")] = None,
    targets: Annotated[
        Literal["auto"] | tuple[int, ...] | None, asks("targets", has_preset=False)
    ] = None,
    grader: Annotated[str | None, asks("grader")] = None,
    samples_per_question: Annotated[int | None, asks("samples_per_question")] = None,
    observed_steps: Annotated[
        tuple[int, ...] | None, asks("observed_steps", has_preset=False)
    ] = None,
    seed: Annotated[int | None, asks("seed")] = None,
    overrides: Annotated[dict[str, Any] | None, asks_overrides()] = None,
    recipe: Annotated[WindowRecipe | dict[str, Any] | None, asks_recipe()] = None,
) -> RunSummary:
    """Extrapolate a window from S3, a folder or the Hub, measure, choose and publish the best.

    The same recipe continues the same run: a stage that is done is not run again.
    """
    return run_to_end(take_window)

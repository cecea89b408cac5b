"""The pipeline: a short GRPO run, the line through its window, and the best point on it."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from prefect import flow

from relex.config import Recipe, RewardTerm
from relex.errors import InputError
from relex.report import RunSummary
from relex.run.conclude import finish, finished_summary, summarise
from relex.run.measure import open_evaluation
from relex.run.places import Run, open_run
from tasks.flow_run import heed_operator, refused, run_name, stated_recipe
from tasks.form import asks, asks_overrides, asks_preset, asks_recipe
from tasks.killed import record_as_killed
from tasks.page import listeners, show_report
from tasks.record import Record
from tasks.registering import register
from tasks.stages import (
    choose,
    fit,
    measure_candidates,
    measure_finalists,
    publish,
    report,
    tidy,
    train,
    validate,
)


# The recipe is checked as a whole, and told in one line what is wrong with it; Prefect would check
# field by field.
@flow(
    name="relex-pipeline",
    flow_run_name=run_name,
    validate_parameters=False,
    on_cancellation=[record_as_killed],
    on_crashed=[record_as_killed],
)
def relex_pipeline(
    preset: Annotated[str, asks_preset()] = "toy",
    name: Annotated[str | None, asks("name")] = None,
    rewards: Annotated[tuple[RewardTerm, ...] | None, asks("rewards")] = None,
    learning_rate: Annotated[float | None, asks("learning_rate")] = None,
    steps: Annotated[int | None, asks("steps")] = None,
    targets: Annotated[Literal["auto"] | tuple[int, ...] | None, asks("targets")] = None,
    base: Annotated[str | None, asks("base")] = None,
    grader: Annotated[str | None, asks("grader")] = None,
    samples_per_question: Annotated[int | None, asks("samples_per_question")] = None,
    observed_steps: Annotated[tuple[int, ...] | None, asks("observed_steps")] = None,
    seed: Annotated[int | None, asks("seed")] = None,
    overrides: Annotated[dict[str, Any] | None, asks_overrides()] = None,
    recipe: Annotated[Recipe | dict[str, Any] | None, asks_recipe()] = None,
) -> RunSummary:
    """Train a short window, extrapolate it, measure the candidates, choose and publish the best.

    The same recipe continues the same run: a stage that is done is not run again.
    """
    return run_to_end(train)


def run_to_end(fill_window: Callable[[Run], None]) -> RunSummary:
    """All that follows from the recipe of this flow run; a recipe that is wrong is refused."""
    try:
        heed_operator()
        with open_run(stated_recipe(), listeners(), served=True) as run:
            record = Record(run)
            validate(run)
            summary = finished_summary(run)
            if summary is None:
                with record.kept():
                    summary = run_stages(run, record, fill_window)
            else:
                record.end_well()
            tidy(run)
    except InputError as error:
        return refused(error, RunSummary)
    return summary


def run_stages(run: Run, record: Record, fill_window: Callable[[Run], None]) -> RunSummary:
    """From the window to the report, as `relex.run` does it, with the model in the registry."""
    fill_window(run)
    factors = fit(run)
    with open_evaluation(run, factors) as evaluation:
        compared = measure_candidates(run, evaluation)
        decision = choose(run, evaluation, compared.measured)
        tested = measure_finalists(run, evaluation, decision)
        model = publish(run, evaluation, decision)
    champion = register(run, record, decision, model)
    summary = summarise(run, decision, tested, compared.search, champion, [record.link])
    report(run, factors, summary)
    record.keep_report(summary)
    show_report(run, summary, record.link)
    finish(run, summary)
    return summary

"""The pipeline: a short GRPO run, the line through its window, and the best point on it; and the
same for a window that is there already."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from relex.config import AnyRecipe, Recipe, RewardTerm, WindowRecipe
from relex.errors import InputError
from relex.report import RunSummary
from relex.run import conclude, finalists, preflight, window
from relex.run.conclude import finish, finished_summary, summarise
from relex.run.measure import open_evaluation
from relex.run.places import Run, open_run
from relex.run.rounds import rounds_of
from tasks.champion import register
from tasks.flow_run import concluded, heed_operator, refused, run_name, stated_recipe
from tasks.form import (
    asks,
    asks_overrides,
    asks_preset,
    asks_questions,
    asks_recipe,
    asks_window,
)
from tasks.page import listeners
from tasks.record import Record
from tasks.tracking_client import record_as_killed
from tasks.tracking_model import write_mlmodel

P = ParamSpec("P")
R = TypeVar("R")


def as_task(name: str, stage: Callable[P, R]) -> Callable[P, R]:
    """`stage` as a task; it knows itself whether it is done, so that Prefect keeps no result."""
    return task(name=name, task_run_name=name, cache_policy=NO_CACHE)(stage)


validate = as_task("validate", preflight.validate)
train = as_task("train", window.train)
take_window = as_task("take window", window.take_window)
fit = as_task("fit", window.fit)
measure_candidates = as_task("measure candidates", conclude.measure_candidates)
choose = as_task("choose", conclude.choose)
measure_finalists = as_task("measure finalists", finalists.measure_finalists)
publish = as_task("publish", conclude.publish)
report = as_task("report", conclude.report)
tidy = as_task("tidy", conclude.tidy)


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
    base: Annotated[str | None, asks("base")] = None,
    train_questions: Annotated[str | None, asks_questions("train_questions")] = None,
    validation_questions: Annotated[str | None, asks_questions("validation_questions")] = None,
    test_questions: Annotated[str | None, asks_questions("test_questions")] = None,
    prompt: Annotated[str | None, asks("prompt")] = None,
    rewards: Annotated[tuple[RewardTerm, ...] | None, asks("rewards")] = None,
    grader: Annotated[str | None, asks("grader")] = None,
    learning_rate: Annotated[float | None, asks("learning_rate")] = None,
    steps: Annotated[Literal["auto"] | int | None, asks("steps")] = None,
    targets: Annotated[Literal["auto"] | tuple[int, ...] | None, asks("targets")] = None,
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


@flow(
    name="relex-extrapolate",
    flow_run_name=run_name,
    validate_parameters=False,
    on_cancellation=[record_as_killed],
    on_crashed=[record_as_killed],
)
def relex_extrapolate(
    window: Annotated[str, asks_window()],
    preset: Annotated[str, asks_preset()] = "toy",
    name: Annotated[str | None, asks("name")] = None,
    base: Annotated[str | None, asks("base")] = None,
    validation_questions: Annotated[str | None, asks_questions("validation_questions")] = None,
    test_questions: Annotated[str | None, asks_questions("test_questions")] = None,
    prompt: Annotated[str | None, asks("prompt")] = None,
    grader: Annotated[str | None, asks("grader")] = None,
    targets: Annotated[
        Literal["auto"] | tuple[int, ...] | None, asks("targets", has_preset=False)
    ] = None,
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


def run_to_end(fill_window: Callable[[Run], None]) -> RunSummary:
    """All that follows from the recipe of this flow run; a recipe that is wrong is refused."""
    try:
        heed_operator()
        for recipe, goes_on in rounds_of(stated_recipe()):
            summary = run_round(recipe, goes_on, fill_window)
    except InputError as error:
        return refused(error, RunSummary)
    verdict = f"{summary.decision.reason} {summary.champion}"
    return concluded(summary, verdict, summary.decision.is_harmful)


def run_round(recipe: AnyRecipe, goes_on: bool, fill_window: Callable[[Run], None]) -> RunSummary:
    """One round of them, or the only one."""
    with open_run(recipe, listeners(), served=True, goes_on=goes_on) as run:
        record = Record(run)
        with record.refusing():
            validate(run)
        summary = finished_summary(run)
        if summary is None:
            with record.kept():
                summary = run_stages(run, record, fill_window)
        else:
            record.end_well()
        tidy(run)
    return summary


def run_stages(run: Run, record: Record, fill_window: Callable[[Run], None]) -> RunSummary:
    """From the window to the report, as `relex.run` does it, with the model in the registry."""
    fill_window(run)
    factors = fit(run)
    with open_evaluation(run, factors) as evaluation:
        compared = measure_candidates(run, evaluation)
        decision = choose(run, evaluation, compared.measured)
        tested = measure_finalists(run, evaluation, decision)
        complete = partial(write_mlmodel, run.recipe, run.dtype)
        model = publish(run, evaluation, decision, tested.tests, complete)
    champion = register(run, record, decision, model)
    summary = summarise(run, decision, tested, compared.search, champion, record.links)
    report(run, factors, summary)
    record.keep_report(summary)
    record.show_report()
    finish(run, summary)
    return summary

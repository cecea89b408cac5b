"""A sweep's trials: what they are, what of them is finished, and how each of them ended."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.candidates import BASE
from relex.config import Recipe, SweepConfig, load_recipe
from relex.errors import RecipeError
from relex.evaluation import SCORE_FILE, Score, correct_matrix
from relex.home import make_home
from relex.report import SUMMARY_FILE, RunSummary
from relex.rewards import graded_by
from relex.run.conclude import REPORT_KIND
from relex.run.places import EMBEDDED_BUCKET, Run
from relex.storage.embedded import embedded_s3
from relex.storage.manifest import read_manifest
from relex.sweep import (
    CurvePoint,
    Status,
    Trial,
    TrialMeasures,
    TrialResult,
    build_trials,
)
from tasks.page import say
from tasks.published import read_scored

RECIPES = Path(__file__).parents[1] / "deployments" / "recipes"
LONGEST_REASON = 300
ERROR = re.compile(r"^(?:Flow run encountered an exception: )?(?:(\w+Error): )?(.*)$")
NO_LEARNING = "NoLearningError"


@dataclass(frozen=True)
class Ending:
    """How a trial's run ended; `reason` is one line, empty for a run that finished."""

    status: Status
    reason: str = ""


FINISHED = Ending("finished")


@task(task_run_name="plan trials", cache_policy=NO_CACHE)
def plan(sweep: SweepConfig) -> list[Trial]:
    """The trials of the sweep; raises the InputError of the first fault."""
    trials = build_trials(sweep, base_recipe(sweep))
    variants = dict.fromkeys(trial.variant for trial in trials)
    say(f"{len(trials)} trials: {'; '.join(variants)}; seeds {', '.join(map(str, sweep.seeds))}")
    return trials


def base_recipe(sweep: SweepConfig) -> Recipe:
    """The base of the sweep: given whole, by the name of a shipped recipe, or as a file."""
    if isinstance(sweep.base, Recipe):
        return sweep.base
    if sweep.base.endswith((".yaml", ".yml")):
        return load_recipe(Path(sweep.base))
    path = RECIPES / f"{sweep.base}.yaml"
    if not path.exists():
        raise RecipeError(
            f"sweep {sweep.name}: base: no shipped recipe is named {sweep.base!r}; give a name "
            f"from {RECIPES}, the path of a recipe file (.yaml), or a whole recipe"
        )
    return load_recipe(path)


@contextmanager
def open_runs(trials: Sequence[Trial]) -> Iterator[list[Run]]:
    """The places of all trials' runs, to look at only: others may be working there.

    They are kept in one storage; an embedded S3 server lives as long as the block.
    """
    home, storage = make_home(), trials[0].recipe.storage
    with ExitStack() as stack:
        root_uri, connection = storage.uri, storage.connection
        if storage.uri == "embedded":
            root_uri = f"s3://{EMBEDDED_BUCKET}"
            connection = stack.enter_context(embedded_s3(home.s3, EMBEDDED_BUCKET))
        yield [Run(trial.recipe, home, root_uri, connection) for trial in trials]


def missing_trials(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that have no result yet."""
    with open_runs(trials) as runs:
        missing = [
            trial
            for trial, run in zip(trials, runs, strict=True)
            if read_manifest(run.store.child("report"), REPORT_KIND) is None
        ]
    if len(missing) < len(trials):
        say(f"{len(trials) - len(missing)} of {len(trials)} trials are finished already")
    return missing


def ending_of_error(error: Exception) -> Ending:
    """How a trial ended whose pipeline raised `error`."""
    return ending_of_message(f"{type(error).__name__}: {error}")


def ending_of_message(message: str) -> Ending:
    """As `ending_of_error`, from the message of a failed flow run."""
    found = ERROR.match(" ".join(message.split()))
    assert found is not None
    kind, reason = found[1], found[2] or "no reason was given; see the log of its flow run"
    shown = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}..."
    return Ending("stopped" if kind == NO_LEARNING else "failed", shown)


@dataclass(frozen=True)
class Collected:
    """All trials with their numbers, and the graded test answers of those that finished."""

    results: list[TrialResult]
    answers: dict[str, npt.NDArray[np.bool_]]
    """`correct_QK` of the chosen candidates on the headline benchmark by run id."""


@task(task_run_name="collect results", cache_policy=NO_CACHE)
def collect(trials: Sequence[Trial], endings: Mapping[str, Ending]) -> Collected:
    """Read what the runs stored; `endings` by run id, where a run has no entry it had finished."""
    collected = Collected([], {})
    questions: list[str] = []
    with open_runs(trials) as runs:
        for trial, run in zip(trials, runs, strict=True):
            ending = endings.get(trial.recipe.run_id, FINISHED)
            measures = None
            if ending == FINISHED:
                measures, ending = _measured(run, questions, collected.answers)
            collected.results.append(
                TrialResult(
                    label=trial.label,
                    variant=trial.variant,
                    seed=trial.seed,
                    run_id=trial.recipe.run_id,
                    status=ending.status,
                    reason=ending.reason,
                    measures=measures,
                )
            )
    return collected


def _measured(
    run: Run, questions: list[str], answers: dict[str, npt.NDArray[np.bool_]]
) -> tuple[TrialMeasures | None, Ending]:
    """The numbers of a finished run, or why it has none that can be compared.

    `questions` are the ids of the test questions, filled in by the first run.
    """
    if read_manifest(run.store.child("report"), REPORT_KIND) is None:
        why = (
            f"its flow run completed, but {run.uri}/report is not there; give workers and sweep "
            "the same storage (storage.uri; with embedded storage the same RELEX_HOME)"
        )
        return None, Ending("failed", why)
    summary = RunSummary.model_validate_json(run.store.child("report").get(SUMMARY_FILE))
    headline = summary.benchmark_names[0]
    key = summary.decision.chosen.key
    stored = run.store.child(f"scores/{headline}/{key}").get(SCORE_FILE)
    grader = Score.model_validate_json(stored).grader
    given = read_scored(run.store, headline, key)
    ids = sorted({answer.question_id for answer in given})
    expected = graded_by(run.recipe.exam(headline))
    if grader != expected:
        why = f"was graded by {grader}, not by {expected}; remove {run.uri} and sweep again"
        return None, Ending("failed", why)
    if questions and ids != questions:
        why = f"answered other test questions than the others; remove {run.uri} and sweep again"
        return None, Ending("failed", why)
    questions[:] = ids
    answers[run.recipe.run_id] = correct_matrix(given)
    return measures_of(summary), FINISHED


def measures_of(summary: RunSummary) -> TrialMeasures:
    """What a sweep compares of a finished run."""
    decision, headline = summary.decision, summary.benchmark_names[0]
    tests = {
        name: summary.benchmark_result(name, decision.chosen) for name in summary.benchmark_names
    }
    base = summary.benchmark_result(headline, BASE)
    assert base is not None
    return TrialMeasures(
        chosen=decision.chosen,
        validation_accuracy=decision.result(decision.chosen).accuracy,
        last_observed_accuracy=decision.result(decision.last_observed).accuracy,
        test_accuracies={name: result.accuracy for name, result in tests.items() if result},
        base_test_accuracy=base.accuracy,
        greedy=summary.greedy_accuracies,
        cost_in_steps=summary.costs.as_steps if summary.costs else None,
        curve=tuple(
            CurvePoint(candidate=result.candidate, accuracy=result.accuracy)
            for result in decision.results
            if (result.candidate.is_on_the_line or not result.candidate.method)
            and result.num_questions == decision.num_questions
        ),
    )

"""The leaderboard of a sweep, in the storage, in MLflow and in Prefect."""

import shutil
from collections.abc import Sequence

from prefect import task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE

from relex.config import SweepConfig, dump_recipe
from relex.digests import sha256_json
from relex.report import (
    LEADERBOARD_HTML,
    LEADERBOARD_MARKDOWN,
    trial_rows,
    variant_rows,
    verdict_markdown,
    write_leaderboard,
)
from relex.rewards import grader_version, reward_name
from relex.run.places import RECIPE_FILE
from relex.storage import open_store
from relex.storage.manifest import publish_folder
from relex.sweep import (
    Leaderboard,
    Statistics,
    Trial,
    TrialResult,
    rank,
    reward_code,
    sweep_id,
    verdict,
)
from tasks.page import say
from tasks.sweep import Collected, open_runs
from tasks.tracking import Tracker

KIND = "sweep"
TRIAL_KIND = "trial"
NOTE_TAG = "mlflow.note.content"
"""What MLflow shows as the description of a run."""
MLFLOW_STATUS = {
    "finished": "FINISHED",
    "stopped": "KILLED",
    "failed": "FAILED",
    "cancelled": "KILLED",
}


def build_leaderboard(
    sweep: SweepConfig, trials: Sequence[Trial], collected: Collected
) -> Leaderboard:
    """Rank the variants and say what that means."""
    recipe = trials[0].recipe
    benchmark = recipe.problems.test[0].name
    how = Statistics(recipe.selection, recipe.seed)
    variants = tuple(rank(collected.results, collected.answers, how))
    measures = [result.measures for result in collected.results if result.measures]
    base = [each.base_test_accuracy for each in measures]
    mean_base = sum(base) / len(base) if base else None
    shape = next((answers.shape for answers in collected.answers.values()), (0, 0))
    confidence = recipe.selection.confidence
    return Leaderboard(
        sweep_id=sweep_id(sweep, trials),
        benchmark=benchmark,
        num_questions=shape[0],
        samples_per_question=shape[1],
        grader=grader_version(recipe.exam(benchmark).grader),
        confidence=confidence,
        last_step=max(trial.recipe.training.steps for trial in trials),
        base_test_accuracy=mean_base,
        variants=variants,
        trials=tuple(collected.results),
        verdict=verdict(variants, collected.results, benchmark, mean_base, confidence),
    )


@task(task_run_name="publish leaderboard", cache_policy=NO_CACHE)
def publish_leaderboard(
    sweep: SweepConfig, trials: Sequence[Trial], leaderboard: Leaderboard
) -> None:
    """Write the leaderboard and put it where people look."""
    name = leaderboard.sweep_id
    with open_runs(trials) as runs:
        first = runs[0]
        folder = first.home.root / "reports" / name
        shutil.rmtree(folder, ignore_errors=True)
        write_leaderboard(leaderboard, folder)
        store = open_store(f"{first.root_uri.rstrip('/')}/sweeps/{name}", first.connection)
        inputs = {"leaderboard": sha256_json(leaderboard.model_dump(mode="json"))}
        publish_folder(store, folder, KIND, inputs)
        tracker = Tracker(first.recipe.tracking, first.home, name, kind=KIND)
        _record(tracker, sweep, trials, leaderboard)
        tracker.log_folder(folder, "leaderboard")
        tracker.end("FINISHED")
    create_table_artifact(variant_rows(leaderboard), key="leaderboard", description=_short(name))
    create_table_artifact(trial_rows(leaderboard), key="trials", description=_short(name))
    text = (folder / LEADERBOARD_MARKDOWN).read_text(encoding="utf-8")
    create_markdown_artifact(text, key="sweep-report")
    create_link_artifact(tracker.link, "MLflow run of the sweep", key="mlflow-sweep")
    for line in leaderboard.verdict.splitlines():
        say(line)
    say(f"leaderboard in {folder / LEADERBOARD_HTML}, stored at {store.uri}")


def _short(name: str) -> str:
    return f"Sweep {name}"


def _record(
    tracker: Tracker,
    sweep: SweepConfig,
    trials: Sequence[Trial],
    leaderboard: Leaderboard,
) -> None:
    """A parent for the sweep with a child for each trial.

    The pipeline runs have records of their own, with their training curves; a child holds what the
    sweep compares, and the reward's code.
    """
    tracker.begin()
    params = {
        "sweep": sweep.name,
        "kind": KIND,
        "base": trials[0].recipe.base.path,
        "rewards": ", ".join(reward.name for reward in sweep.rewards),
        "seeds": ", ".join(map(str, sweep.seeds)),
    }
    winner = leaderboard.winner
    best = winner.variant if winner else "none"
    tags = {"relex.winner": best, NOTE_TAG: verdict_markdown(leaderboard)}
    tracker.describe(params, {})
    tracker.mark(tags)
    for trial, result in zip(trials, leaderboard.trials, strict=True):
        # A trial that ends as it did before has its child already.
        if tracker.finished_child(trial.label, MLFLOW_STATUS[result.status]) is None:
            _record_trial(tracker, trial, result)


def _record_trial(tracker: Tracker, trial: Trial, result: TrialResult) -> None:
    codes = [reward_code(term.reward) for term in trial.reward.terms]
    params = {
        "kind": TRIAL_KIND,
        "variant": trial.variant,
        "reward": trial.reward.name,
        "learning_rate": trial.recipe.training.learning_rate,
        "seed": trial.seed,
        "steps_trained": trial.recipe.training.steps,
        "reward_code": ", ".join(code.version for code in codes),
        "pipeline_run": trial.recipe.run_id,
    }
    with tracker.child(trial.label, TRIAL_KIND, params) as child:
        tracker.log_text(dump_recipe(trial.recipe), RECIPE_FILE, child)
        for code in codes:
            tracker.log_text(code.source, f"reward/{reward_name(code.reward)}.py", child)
        if result.reason:
            tracker.log_text(result.reason, f"{result.status}.txt", child)
        if result.measures is not None:
            for name, value, step in metrics_of(result):
                tracker.log({name: value}, step, child)
    tracker.end(MLFLOW_STATUS[result.status], child)


def metrics_of(result: TrialResult) -> list[tuple[str, float, int]]:
    """Name, value and step, with the names that pipeline runs use."""
    measures = result.measures
    assert measures is not None
    chosen = measures.chosen.step
    gain = measures.validation_accuracy - measures.last_observed_accuracy
    scalars = {
        "chosen/accuracy": measures.validation_accuracy,
        "chosen/step": float(chosen),
        "chosen/gain_over_last_step": gain,
        **{f"test/{name}": value for name, value in measures.test_accuracies.items()},
    }
    curve = [
        ("accuracy/validation", point.accuracy, point.candidate.step) for point in measures.curve
    ]
    return [(name, value, 0) for name, value in scalars.items()] + curve

"""The leaderboard of a sweep, in the storage, in MLflow and in Prefect."""

import shutil
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.config import SweepConfig
from relex.digests import sha256_json
from relex.doors import REWARD
from relex.report import (
    LEADERBOARD_HTML,
    LEADERBOARD_MARKDOWN,
    Link,
    verdict_markdown,
    write_leaderboard,
)
from relex.rewards import graded_by, reward_name
from relex.storage import open_store
from relex.storage.manifest import publish_folder
from relex.sweep import (
    Leaderboard,
    Trial,
    rank,
    sweep_id,
    verdict,
)
from tasks.page import say, show_report
from tasks.sweep import Collected, open_runs
from tasks.tracking import Tracker
from tasks.tracking_experiment import NOTE_TAG
from tasks.tracking_source import source_tags

KIND = "sweep"


def build_leaderboard(
    sweep: SweepConfig, trials: Sequence[Trial], collected: Collected
) -> Leaderboard:
    """Rank the variants and say what that means."""
    recipe = trials[0].recipe
    benchmark = recipe.problems.test[0].name
    by = (recipe.selection, recipe.seed)
    variants = tuple(rank(collected.results, collected.answers, *by))
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
        grader=graded_by(recipe.exam(benchmark)),
        confidence=confidence,
        last_step=max(trial.recipe.training.last_step for trial in trials),
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
    link = Link(name="MLflow run of the sweep", address=tracker.link)
    show_report(
        folder / LEADERBOARD_MARKDOWN, link, lambda name: tracker.artifact(f"leaderboard/{name}")
    )
    for line in leaderboard.verdict.splitlines():
        say(line)
    say(f"leaderboard in {folder / LEADERBOARD_HTML}, stored at {store.uri}")


def _record(
    tracker: Tracker, sweep: SweepConfig, trials: Sequence[Trial], leaderboard: Leaderboard
) -> None:
    """A run for the sweep, with the code of its rewards; the trials have their pipelines' own."""
    tracker.begin()
    params = {
        "sweep": sweep.name,
        "kind": KIND,
        "base": trials[0].recipe.base.path,
        "rewards": ", ".join(reward.name for reward in sweep.rewards),
        "seeds": ", ".join(map(str, sweep.seeds)),
    }
    tracker.describe(params, source_tags())
    best = leaderboard.winner.variant if leaderboard.winner else "none"
    tracker.mark({"relex.winner": best, NOTE_TAG: verdict_markdown(leaderboard)})
    for name in dict.fromkeys(term.reward for reward in sweep.rewards for term in reward.terms):
        text = REWARD.source_file(name).read_text(encoding="utf-8")
        tracker.log_text(text, f"reward/{reward_name(name)}.py")
    run_ids = [trial.recipe.run_id for trial in trials]
    tracker.mark_pipelines(run_ids, {"relex.sweep": leaderboard.sweep_id})

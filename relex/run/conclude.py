"""What follows from the measurements: the choice, the model, the report, and what is kept."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from relex.checkpoints import write_checkpoint
from relex.config import WindowRecipe
from relex.digests import sha256_json
from relex.evaluation import SCORE_FILE, Score
from relex.evaluation.weight_source import open_weights
from relex.extrapolation import open_factors
from relex.report import (
    HTML_FILE,
    SUMMARY_FILE,
    BenchmarkResult,
    Link,
    RunSummary,
    write_report,
)
from relex.rewards import grader_version
from relex.run.events import Decided
from relex.run.measure import Evaluation, measure_guards
from relex.run.model_card import model_card
from relex.run.places import LOGS, VALIDATION, Run
from relex.run.retention import apply_retention
from relex.run.stage import stage
from relex.run.window import read_curve
from relex.search import SearchPath
from relex.selection import Decision, Measured, decide_guarded
from relex.storage.manifest import (
    Manifest,
    fetch_folder,
    finished_manifest,
    publish_folder,
    read_manifest,
)
from relex.versions import installed_versions

MODEL_KIND, REPORT_KIND = "model", "report"
DECISION_FILE, MODEL_CARD = "decision.json", "README.md"


def choose(run: Run, evaluation: Evaluation, measured: Sequence[Measured]) -> Decision:
    """Compare the candidates on validation, guard the choice, and keep the decision."""
    recipe = run.recipe
    measure = partial(measure_guards, run, evaluation)
    decided = decide_guarded(measured, recipe.selection, recipe.seed, measure)
    grader = grader_version(recipe.exam(VALIDATION).grader)
    decision = decided.model_copy(update={"grader": grader})
    run.store.put(DECISION_FILE, decision.model_dump_json(indent=1).encode())
    run.emit(Decided(decision))
    run.say(decision.reason)
    return decision


def publish(run: Run, factors: Path, decision: Decision) -> Manifest:
    """Write the chosen candidate as a Hugging Face checkpoint to the run's storage, unless it is
    there; returns its manifest."""
    store = run.store.child("model")
    inputs = {
        "recipe": run.recipe.digest,
        "base": run.base_digest,
        "candidate": sha256_json(decision.chosen.model_dump(mode="json")),
    }
    manifest = finished_manifest(store, MODEL_KIND, inputs)
    if manifest is None:
        folder = run.work / "model"
        with stage(run, "publish", "Writing the model"):
            shutil.rmtree(folder, ignore_errors=True)
            weights = open_weights(run.weights(factors)).tensors(decision.chosen)
            write_checkpoint(folder, run.base, weights)
            card = model_card(run.recipe, decision, _headline_score(run, decision))
            (folder / MODEL_CARD).write_text(card, encoding="utf-8")
            manifest = publish_folder(store, folder, MODEL_KIND, inputs)
            shutil.rmtree(folder)
    run.say(f"the model, {decision.chosen.label}, is at {store.uri}")
    return manifest


def _headline_score(run: Run, decision: Decision) -> Score:
    """Of the chosen candidate on the first test benchmark."""
    benchmark = run.recipe.problems.test[0].name
    store = run.store.child(f"scores/{benchmark}/{decision.chosen.key}")
    return Score.model_validate_json(store.get(SCORE_FILE))


def finished_summary(run: Run) -> RunSummary | None:
    """The summary of a run that has its report already, which is copied beside us; or None."""
    store = run.store.child("report")
    if read_manifest(store, REPORT_KIND) is None:
        return None
    shutil.rmtree(run.report_folder, ignore_errors=True)
    fetch_folder(store, run.report_folder, REPORT_KIND)
    run.say(f"{run.recipe.run_id} is finished already; this is its result")
    return RunSummary.model_validate_json((run.report_folder / SUMMARY_FILE).read_bytes())


def summarise(
    run: Run,
    decision: Decision,
    benchmarks: Sequence[BenchmarkResult],
    search: SearchPath | None,
    champion: str = "",
    links: Sequence[Link] = (),
) -> RunSummary:
    """Everything that the report tells; `links` are those of whoever records the run."""
    return RunSummary(
        run_id=run.recipe.run_id,
        recipe_digest=run.recipe.digest,
        window_steps=run.window_steps,
        decision=decision,
        search=search,
        benchmarks=tuple(benchmarks),
        training=read_curve(run),
        champion=champion,
        seconds_by_stage=run.seconds,
        links=(*_links(run), *links),
        versions={**installed_versions(), **_graders(run)},
    )


def report(run: Run, factors: Path, summary: RunSummary) -> None:
    """Write the report beside us; `finish` makes it the run's."""
    with stage(run, "report", "Writing the report"):
        shutil.rmtree(run.report_folder, ignore_errors=True)
        write_report(summary, open_factors(factors), run.report_folder)
        run.say(f"report in {run.report_folder / HTML_FILE}")


def finish(run: Run, summary: RunSummary) -> None:
    """Store the report, which makes the run finished."""
    inputs = {"summary": sha256_json(summary.model_dump(mode="json"))}
    publish_folder(run.store.child("report"), run.report_folder, REPORT_KIND, inputs)


def tidy(run: Run) -> None:
    """Remove the scratch folder, and of the run what its recipe does not keep."""
    shutil.rmtree(run.work, ignore_errors=True)
    removed = apply_retention(run.store, run.recipe.storage.keep)
    if removed:
        run.say(f"removed {len(removed)} objects: the recipe keeps {run.recipe.storage.keep}")


def _graders(run: Run) -> dict[str, str]:
    """The grader of the choice, and those of the test benchmarks that have another."""
    graders = {name: grader_version(run.recipe.exam(name).grader) for name in run.benchmark_names}
    of_choice = graders.pop(VALIDATION)
    others = {f"grader of {name}": its for name, its in graders.items() if its != of_choice}
    return {"grader": of_choice, **others}


def _links(run: Run) -> tuple[Link, ...]:
    links = [Link(name="model", address=f"{run.uri}/model")]
    if run.uri.startswith("s3://") and run.recipe.storage.uri == "embedded":
        folder = run.home.s3 / run.uri.removeprefix("s3://") / "model"
        links.append(Link(name="model folder", address=str(folder)))
    if isinstance(run.recipe, WindowRecipe):
        links.append(Link(name="window", address=run.recipe.window.uri))
    links.append(Link(name="report", address=str(run.report_folder / HTML_FILE)))
    links.append(Link(name="logs", address=f"{run.uri}/{LOGS}"))
    return tuple(links)

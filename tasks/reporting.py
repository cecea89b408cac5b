"""The report, on S3, in MLflow and in Prefect."""

import shutil
from collections.abc import Sequence

from prefect import task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE

from relex.config import WindowRecipe
from relex.digests import sha256_json
from relex.extrapolation import Factors
from relex.manifest import fetch_folder, publish_folder, read_manifest
from relex.report import (
    HTML_FILE,
    MARKDOWN_FILE,
    SUMMARY_FILE,
    BenchmarkResult,
    Link,
    RunSummary,
    candidate_rows,
    outcome_lines,
    write_report,
)
from relex.rewards import grader_version
from relex.search import SearchPath
from relex.selection import Decision
from tasks.progress import say
from tasks.run import VALIDATION, Run
from tasks.stage import LOGS, stage
from tasks.tracking import NOTE_TAG
from tasks.training import read_curve
from tasks.versions import installed_versions

KIND = "report"


def finished_summary(run: Run) -> RunSummary | None:
    """The summary of a run that has its report already, which is copied beside us; or None."""
    store = run.store.child("report")
    if read_manifest(store, KIND) is None:
        return None
    shutil.rmtree(run.report_folder, ignore_errors=True)
    fetch_folder(store, run.report_folder, KIND)
    if not run.tracker.is_finished:  # killed between the report and the end of its record
        run.tracker.end("FINISHED")
    say(f"{run.recipe.run_id} is finished already; this is its result")
    return RunSummary.model_validate_json((run.report_folder / SUMMARY_FILE).read_bytes())


def summarise(
    run: Run,
    decision: Decision,
    benchmarks: Sequence[BenchmarkResult],
    search: SearchPath | None,
    champion: str,
) -> RunSummary:
    """Everything that the report tells."""
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
        links=_links(run),
        versions={**installed_versions(), **_graders(run)},
    )


@task(task_run_name="report", cache_policy=NO_CACHE)
def report(run: Run, factors: Factors, summary: RunSummary) -> None:
    """Write the report and put it where people look, last to S3, which makes the run finished."""
    folder = run.report_folder
    with stage(run, "report"):
        shutil.rmtree(folder, ignore_errors=True)
        write_report(summary, factors, folder)
        run.tracker.log_folder(folder, "report")
        run.tracker.log(_chosen(summary))
        run.tracker.mark({NOTE_TAG: _note(summary), "relex.chosen": summary.decision.chosen.label})
        create_table_artifact(candidate_rows(summary), key="candidates", description="Candidates")
        create_markdown_artifact((folder / MARKDOWN_FILE).read_text(), key="report")
        create_link_artifact(run.tracker.link, "MLflow run", key="mlflow-run")
        create_markdown_artifact(f"Model: `{run.uri}/model`", key="model")
        say(f"report in {folder / HTML_FILE}")
    inputs = {"summary": sha256_json(summary.model_dump(mode="json"))}
    publish_folder(run.store.child("report"), folder, KIND, inputs)


def _graders(run: Run) -> dict[str, str]:
    """The grader of the choice, and those of the test benchmarks that have another."""
    graders = {name: grader_version(run.recipe.exam(name).grader) for name in run.benchmark_names}
    of_choice = graders.pop(VALIDATION)
    others = {f"grader of {name}": its for name, its in graders.items() if its != of_choice}
    return {"grader": of_choice, **others}


def _links(run: Run) -> tuple[Link, ...]:
    links = [Link(name="model", address=f"{run.uri}/model")]
    if run.recipe.storage.uri == "embedded":
        folder = run.home.s3 / run.uri.removeprefix("s3://") / "model"
        links.append(Link(name="model folder", address=str(folder)))
    if isinstance(run.recipe, WindowRecipe):
        links.append(Link(name="window", address=run.recipe.window.uri))
    links.append(Link(name="report", address=str(run.report_folder / HTML_FILE)))
    links.append(Link(name="MLflow run", address=run.tracker.link))
    links.append(Link(name="logs", address=f"{run.uri}/{LOGS}"))
    return tuple(links)


def _note(summary: RunSummary) -> str:
    """What MLflow's page of the run says first."""
    links = "\n".join(f"- {link.name}: `{link.address}`" for link in summary.links)
    found = " ".join([summary.decision.reason, *outcome_lines(summary)])
    return "\n\n".join(text for text in (found, summary.champion, links) if text)


def _chosen(summary: RunSummary) -> dict[str, float]:
    """The scalars that MLflow's run table should show, whatever was logged last."""
    decision = summary.decision
    chosen, last = decision.result(decision.chosen), decision.result(decision.last_observed)
    scalars = {
        "chosen/accuracy": chosen.accuracy,
        "chosen/step": float(decision.chosen.step),
        "chosen/gain_over_last_step": chosen.accuracy - last.accuracy,
    }
    for name in summary.benchmark_names:
        result = summary.benchmark_result(name, decision.chosen)
        if result is not None:
            scalars[f"test/{name}"] = result.accuracy
            if result.to_last_observed is not None:
                scalars[f"test_gain/{name}"] = result.to_last_observed.difference
    return scalars

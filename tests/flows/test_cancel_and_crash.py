"""A run that is cancelled, or whose process is killed, at any stage leaves nothing behind but what
the next start needs, and that start goes on from there."""

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient

from relex.config import Recipe, check_recipe
from tests.flows.small import small_recipe
from tests.processes import is_alive, listening
from tests.waiting import wait_until, wait_until_gone

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# One folder each, however many runs: of the worker, and a cache.
KEPT_BY_OTHERS = re.compile(r"runner_storage|torchinductor_\w+")
# By stage what there is, in the run's folders, when it is under way.
STAGES = {
    "train": "window/steps/step_000003.safetensors",
    "fit": "logs/fit.log",
    "validation": "scores/validation/base/manifest.json",
    "test": "scores/toy/*/manifest.json",
    "publish": "logs/publish.log",
    "report": "logs/report.log",
}
WAYS = {"cancel": "CANCELLED", "crash": "CRASHED"}
# One of the two stages that have children for each way; and each way in all stages.
SOME = {"cancel": ["train"], "crash": ["validation"]}
ALL = {way: list(STAGES) for way in WAYS}


@dataclass(frozen=True)
class Ended:
    """What was seen of a run that was ended from outside."""

    state: str
    still_open: set[int]
    """Of the ports that its processes listened on, those that still answer."""

    records: set[str]
    """The MLflow status of all its records."""


@dataclass(frozen=True)
class Chain:
    """One recipe, ended at some stages and then left alone."""

    ended: dict[str, Ended]
    last_state: str
    last_lines: list[str]
    last_records: set[str]


@pytest.fixture(
    scope="module",
    params=[pytest.param(SOME, id="some_stages"), pytest.param(ALL, id="every_stage")],
)
def chains(request, service) -> dict[str, Chain]:
    """Both ways at once, on a pool without a limit."""
    deployment = service.deploy("relex-pipeline", "flows/pipeline.py:relex_pipeline")

    def run(way: str) -> Chain:
        stages = request.param[way]
        return run_chain(service, deployment, f"{way}-{len(stages)}", way, stages)

    with ThreadPoolExecutor(len(WAYS)) as threads:
        return dict(zip(WAYS, threads.map(run, WAYS), strict=True))


def interrupted(chains: dict[str, Chain]) -> list[tuple[str, str, Ended]]:
    return [
        (way, stage, ended) for way, chain in chains.items() for stage, ended in chain.ended.items()
    ]


def test_the_run_says_how_it_ended(chains):
    assert [
        (way, stage, ended.state)
        for way, stage, ended in interrupted(chains)
        if ended.state != WAYS[way]
    ] == []


def test_no_port_is_left_open(chains):
    assert [(way, stage) for way, stage, ended in interrupted(chains) if ended.still_open] == []


def test_mlflow_says_killed(chains):
    wrong = {
        (way, stage): ended.records
        for way, stage, ended in interrupted(chains)
        if "KILLED" not in ended.records or not ended.records <= {"KILLED", "FINISHED"}
    }
    assert wrong == {}


@pytest.mark.parametrize("way", WAYS)
def test_the_next_start_goes_on_to_the_end(chains, way):
    chain = chains[way]
    assert chain.last_state == "COMPLETED", chain.last_lines
    last = list(STAGES).index(list(chain.ended)[-1])
    said = {
        "fit": any("not trained again" in line for line in chain.last_lines),
        "validation": any("not fitted again" in line for line in chain.last_lines),
        "publish": "starting the engine ..." not in chain.last_lines,
    }
    assert said == {stage: last >= list(STAGES).index(stage) for stage in said}


def test_no_temporary_file_is_left(chains, service):
    def left() -> list[str]:
        names = [path.name for path in Path(service.environment["TMPDIR"]).iterdir()]
        return [name for name in names if not KEPT_BY_OTHERS.fullmatch(name)]

    # The worker removes a run's folder a moment after the run has ended.
    wait_until(lambda: left() == [], "files are left in the temporary folder")
    assert list(service.home.root.glob("work/*")) == []


def run_chain(service, deployment: str, name: str, way: str, stages: list[str]) -> Chain:
    recipe = check_recipe(small_recipe(name), name)
    parameters = recipe.model_dump(mode="json")
    ended = {}
    for stage in stages:
        flow_run = service.start(deployment, recipe=parameters)
        ended[stage] = end(service, flow_run, recipe, stage, way)
    flow_run = service.start(deployment, recipe=parameters)
    state = service.wait_until_ended(flow_run)
    return Chain(ended, state, service.logs(flow_run), records_of(service, recipe))


def end(service, flow_run: str, recipe: Recipe, stage: str, way: str) -> Ended:
    """Wait for the stage, end the run in it, and wait for the end of all of its processes."""
    process = service.process(flow_run)
    wait_for_stage(service, recipe, stage, process, flow_run)
    process.send_signal(signal.SIGSTOP)
    members = [process, *process.children(recursive=True)]
    ports = {port for member in members for _, port in listening(member)}
    if way == "crash":
        process.kill()
    else:
        cancel(service, flow_run)
        process.send_signal(signal.SIGCONT)
    wait_until_gone(members)
    state = service.wait_until_ended(flow_run)
    # The worker ends the record of a process that it found dead after it has told the server.
    wait_until(lambda: "RUNNING" not in records_of(service, recipe), "MLflow says RUNNING")
    return Ended(
        state=state,
        still_open=ports & all_listening(),
        records=records_of(service, recipe),
    )


def wait_for_stage(
    service, recipe: Recipe, stage: str, process: psutil.Process, flow_run: str
) -> None:
    places = (service.home.work(recipe.run_id), service.home.s3 / "relex" / "runs" / recipe.run_id)

    def has_come() -> bool:
        if not is_alive(process):
            said = "\n".join(service.logs(flow_run))
            raise AssertionError(f"{recipe.name} ended before {stage}:\n{said}")
        return any(list(place.glob(STAGES[stage])) for place in places)

    wait_until(has_come, f"{recipe.name} did not come to {stage}")


def cancel(service, flow_run: str) -> None:
    """As the page does it: in a moment, because the process that stands still may hold the lock of
    MLflow's database, for which others wait for 20 s and not longer."""
    service.request(f"flow_runs/{flow_run}/set_state", {"state": {"type": "CANCELLING"}})


def all_listening() -> set[int]:
    return {c.laddr.port for c in psutil.net_connections("inet") if c.status == "LISTEN"}


def records_of(service, recipe: Recipe) -> set[str]:
    client = MlflowClient(f"sqlite:///{service.home.mlflow_database}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "relex"]
    query = f"tags.`relex.run_id` = '{recipe.run_id}'"
    return {run.info.status for run in client.search_runs([experiment.experiment_id], query)}

"""Trials on a pool: a real server, real workers, and processes that are really killed.

The pipeline here is a stand-in that waits for a file, so that everything that can happen to a flow
run can happen at the right moment; `test_sweep.py` runs the real one.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from relex.config import SweepConfig, load_recipe
from relex.sweep import Trial, build_trials
from tasks.sweep_pool import is_alive_here, is_silent

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 500.0
NAMES = ("toy-first-0", "toy-second-0", "toy-flat-0")
PIPELINE = '''
"""A pipeline that waits for a file with its trial's name."""
import time
from pathlib import Path
from prefect import flow
from relex.errors import NoLearningError

HERE = Path(__file__).parent

@flow(name="relex-pipeline")
def pipeline(recipe: dict) -> None:
    name = f"{recipe['name']}-{recipe['seed']}"
    with (HERE / f"{name}.started").open("a") as file:
        file.write("started\\n")
    while not (HERE / name).exists():
        time.sleep(0.1)
    if (HERE / name).read_text() == "flat":
        raise NoLearningError("step 5: stopped")
'''
SWEEP = '''
"""A sweep without a leaderboard."""
from pathlib import Path
from prefect import flow
from relex.config import SweepConfig
from relex.sweep import build_trials
from tasks.sweep import base_recipe
from tasks.sweep_pool import cancel_trials, run_on_pool

@flow(name="reward-sweep", on_cancellation=[cancel_trials])
def sweep(sweep: dict) -> None:
    config = SweepConfig.model_validate(sweep)
    endings = run_on_pool(build_trials(config, base_recipe(config)))
    lines = [f"{run_id.rpartition('-')[0]} {e.status} {e.reason}" for run_id, e in endings.items()]
    (Path(__file__).parent / "endings").write_text("\\n".join(lines))
'''


class Pool:
    """A work pool with the two deployments, one worker, and the files that trials wait for."""

    def __init__(self, client: SyncPrefectClient, folder: Path, environment: dict[str, str]):
        self.client, self.folder, self.environment = client, folder, environment
        self.name = folder.name
        (folder / "pipeline.py").write_text(PIPELINE)
        (folder / "sweep.py").write_text(SWEEP)
        self.worker = self.start_worker()

    def open(self) -> None:
        """Deploy as soon as the worker has made its pool."""
        self.wait_for(lambda: self.name in [pool.name for pool in self.client.read_work_pools()])
        self.deploy("relex-pipeline", "pipeline")
        self.deploy("reward-sweep", "sweep")

    def start_worker(self) -> subprocess.Popen[bytes]:
        command = ["-m", "prefect", "worker", "start", "--type", "process", "--pool", self.name]
        with (self.folder / "worker.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def deploy(self, name: str, function: str) -> None:
        """What `prefect deploy` does, without importing the flow."""
        pull = {"prefect.deployments.steps.set_working_directory": {"directory": str(self.folder)}}
        self.client.create_deployment(
            self.client.create_flow_from_name(name),
            name=name,
            entrypoint=f"{function}.py:{function}",
            work_pool_name=self.name,
            pull_steps=[pull],
            enforce_parameter_schema=False,
        )

    def start_sweep(self, sweep: dict) -> UUID:
        deployment = self.client.read_deployment_by_name("reward-sweep/reward-sweep")
        created = self.client.create_flow_run_from_deployment(
            deployment.id, parameters={"sweep": sweep}
        )
        return created.id

    def release(self, trial: str, words: str = "") -> None:
        """Let the trial go on to its end."""
        (self.folder / trial).write_text(words)

    def num_starts(self, trial: str) -> int:
        path = self.folder / f"{trial}.started"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def runs(self, trial: Trial) -> list[FlowRun]:
        names = {"any_": [trial.recipe.run_id]}
        return self.client.read_flow_runs(flow_run_filter=FlowRunFilter(name=names))

    def state(self, flow_run: UUID) -> str:
        return str(self.client.read_flow_run(flow_run).state_name)

    def endings(self) -> list[str]:
        return sorted((self.folder / "endings").read_text().splitlines())

    def wait_for(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not true():
            assert time.monotonic() < deadline, (self.folder / "worker.log").read_text()[-5000:]
            time.sleep(0.2)

    def kill_process_of(self, flow_run: UUID) -> None:
        self.wait_for(lambda: is_alive_here(self.client.read_flow_run(flow_run)))
        os.kill(int(self.client.read_flow_run(flow_run).infrastructure_pid or ""), signal.SIGKILL)


@pytest.fixture
def pool(tmp_path, build_environment) -> Iterator[Pool]:
    environment = build_environment(tmp_path / "home") | {
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "2",
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
    }
    with prefect_client(environment) as client:
        running = Pool(client, tmp_path, environment)
        try:
            running.open()
            yield running
        finally:
            for process in psutil.process_iter():
                if str(tmp_path) in environment_of(process):
                    process.kill()
            running.worker.wait()


@contextmanager
def prefect_client(environment: dict[str, str]) -> Iterator[SyncPrefectClient]:
    with (
        temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        yield client


def environment_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("PYTHONPATH", "")
    except psutil.Error:
        return ""


def sweep_of(*names: str) -> tuple[dict, list[Trial]]:
    """A sweep with a trial of each name, and the trials."""
    rewards = [
        {"name": name, "terms": [{"reward": "exact_match", "weight": 1 + number}]}
        for number, name in enumerate(names)
    ]
    sweep = {"name": "test", "base": "toy", "rewards": rewards, "seeds": [0]}
    base = load_recipe(ROOT / "deployments" / "recipes" / "toy.yaml")
    return sweep, build_trials(SweepConfig.model_validate(sweep), base)


def test_whatever_is_killed_no_trial_is_lost_and_none_runs_twice(pool):
    sweep, trials = sweep_of("first", "second", "flat")
    killed = pool.start_sweep(sweep)
    pool.wait_for(lambda: sum(map(pool.num_starts, NAMES)) == 3)
    # The worker, which leaves the processes of its flow runs behind.
    os.kill(pool.worker.pid, signal.SIGKILL)
    pool.worker.wait()
    pool.worker = pool.start_worker()
    # A trial: nobody tells the server, so the sweep must find out and start it again.
    pool.kill_process_of(pool.runs(trials[1])[0].id)
    pool.wait_for(lambda: pool.num_starts("toy-second-0") == 2)
    # The sweep: the next one waits for what still runs.
    pool.kill_process_of(killed)
    again = pool.start_sweep(sweep)
    tag = f"sweep-run:{again}"
    pool.wait_for(lambda: sum(tag in r.tags for t in trials for r in pool.runs(t)) == 3)
    for name in NAMES:
        pool.release(name, "flat" if name == "toy-flat-0" else "")
    pool.wait_for(lambda: pool.state(again) == "Completed")
    assert pool.endings() == [
        "toy-first finished ",
        "toy-flat stopped step 5: stopped",
        "toy-second finished ",
    ]
    assert [pool.num_starts(name) for name in NAMES] == [1, 2, 1]
    assert [run.state_name for run in pool.runs(trials[0])] == ["Completed"]
    attempts = {run.idempotency_key[-2:]: run.state_name for run in pool.runs(trials[1])}
    assert attempts == {"-1": "Crashed", "-2": "Completed"}


def test_a_cancelled_sweep_cancels_its_trials(pool):
    sweep, trials = sweep_of("one", "two")
    parent = pool.start_sweep(sweep)
    pool.wait_for(lambda: pool.num_starts("toy-one-0") + pool.num_starts("toy-two-0") == 2)
    command = [sys.executable, "-m", "prefect", "flow-run", "cancel", str(parent)]
    subprocess.run(command, env=pool.environment, check=True, capture_output=True)
    pool.wait_for(lambda: pool.state(parent) == "Cancelled")
    pool.wait_for(lambda: {r.state_name for t in trials for r in pool.runs(t)} == {"Cancelled"})
    assert not any(is_alive_here(run) for trial in trials for run in pool.runs(trial))


def test_a_run_is_silent_when_its_last_heartbeat_is_long_ago(prefect_settings):
    def beat(flow_run: str, occurred: str) -> dict:
        return {
            "occurred": occurred,
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{flow_run}"},
            "id": str(UUID(int=hash((flow_run, occurred)) % 2**128)),
        }

    now = time.time()
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    long_ago, lately = (time.strftime(stamp, time.gmtime(now - ago)) for ago in (3600, 60))
    dead, alive, mute = (UUID(int=number) for number in (1, 2, 3))
    beats = [beat(str(dead), long_ago), beat(str(alive), long_ago), beat(str(alive), lately)]
    with prefect_client(prefect_settings) as client:
        client.request("POST", "/events", content=json.dumps(beats))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_silent(client, dead) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert [is_silent(client, run) for run in (dead, alive, mute)] == [True, False, False]

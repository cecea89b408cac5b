"""A work pool with a real worker, on the server of the tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from relex.sweep import Trial
from tasks.sweep_pool import OUTLIVES_WORKER, is_alive_here
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
DEPLOYMENTS = ROOT / "deployments"


@pytest.fixture(scope="session")
def shipped_sweep() -> dict[str, Any]:
    """With its base written out."""
    sweep = yaml.safe_load((DEPLOYMENTS / "sweeps" / "toy-sweep.yaml").read_text())
    recipe = DEPLOYMENTS / "recipes" / f"{sweep['base']}.yaml"
    return sweep | {"base": yaml.safe_load(recipe.read_text())}


@pytest.fixture(scope="session")
def small_sweep(shipped_sweep) -> dict[str, Any]:
    """The same sweep with less of everything."""
    sweep = deepcopy(shipped_sweep)
    base = sweep["base"]
    base["training"] |= {"steps": 5, "checkpoint_every_steps": 2}
    base["extrapolation"] = {"targets": [8]}
    base["evaluation"] |= {"samples_per_question": 4, "observed_steps": []}
    base["problems"]["validation"]["limit"] = base["problems"]["test"][0]["source"]["limit"] = 50
    return sweep


class Pool:
    """A work pool of its own, one worker, and what a test asks of the server."""

    def __init__(self, client: SyncPrefectClient, folder: Path, environment: dict[str, str]):
        self.client, self.folder, self.environment = client, folder, environment
        self.name = folder.name
        self.worker = self.start_worker()

    def wait_until_ready(self) -> None:
        """The worker makes the pool."""
        self.wait_for(lambda: self.name in [pool.name for pool in self.client.read_work_pools()])

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

    def deploy(self, name: str, folder: Path, entrypoint: str) -> None:
        """What `prefect deploy` does, without importing the flow."""
        pull = {"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}
        self.client.create_deployment(
            self.client.create_flow_from_name(name),
            name=name,
            entrypoint=entrypoint,
            work_pool_name=self.name,
            pull_steps=[pull],
            job_variables=OUTLIVES_WORKER,
            enforce_parameter_schema=False,
        )

    def start_sweep(self, sweep: dict) -> UUID:
        deployment = self.client.read_deployment_by_name("reward-sweep/reward-sweep")
        created = self.client.create_flow_run_from_deployment(
            deployment.id, parameters={"sweep": sweep}
        )
        return created.id

    def runs(self, trial: Trial) -> list[FlowRun]:
        names = {"any_": [trial.recipe.run_id]}
        return self.client.read_flow_runs(flow_run_filter=FlowRunFilter(name=names))

    def runs_of(self, flow: str) -> list[FlowRun]:
        """All flow runs of the flow on this pool."""
        pools = WorkPoolFilter(name={"any_": [self.name]})
        flows = FlowFilter(name={"any_": [flow]})
        return self.client.read_flow_runs(flow_filter=flows, work_pool_filter=pools)

    def state(self, flow_run: UUID) -> str:
        return str(self.client.read_flow_run(flow_run).state_name)

    def wait_for(self, true: Callable[[], object]) -> None:
        wait_until(true, f"see {self.folder / 'worker.log'}")

    def kill_process_of(self, flow_run: UUID) -> None:
        self.wait_for(lambda: is_alive_here(self.client.read_flow_run(flow_run)))
        os.kill(int(self.client.read_flow_run(flow_run).infrastructure_pid or ""), signal.SIGKILL)


@pytest.fixture
def client(prefect_settings) -> Iterator[SyncPrefectClient]:
    """A client of the tests' server."""
    with (
        temporary_settings({PREFECT_API_URL: prefect_settings["PREFECT_API_URL"]}),
        get_client(sync_client=True) as connected,
    ):
        yield connected


@pytest.fixture
def pool(tmp_path, build_environment, client) -> Iterator[Pool]:
    environment = build_environment(tmp_path / "home") | {
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "2",
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
    }
    running = Pool(client, tmp_path, environment)
    try:
        running.wait_until_ready()
        yield running
    finally:
        for process in psutil.process_iter():
            if str(tmp_path) in python_path_of(process):
                process.kill()
        running.worker.wait()


def python_path_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("PYTHONPATH", "")
    except psutil.Error:
        return ""

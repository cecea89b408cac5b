"""Runs the pipeline as a user does, against one Prefect server for all tests."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import yaml

from relex.home import Home
from relex.storage.embedded import free_port
from tasks.services import prefect, prefect_environment, running
from tests.flows.preloaded import Starter
from tests.flows.small import small_recipe
from tests.processes import kill
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def prefect_settings(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The environment of processes that use the tests' Prefect server."""
    home, port = Home(tmp_path_factory.mktemp("prefect")), free_port()
    with running(prefect(home, port), home):
        yield prefect_environment(home, port)


@pytest.fixture(scope="session")
def build_environment(prefect_settings) -> Callable[[Path], dict[str, str]]:
    """The environment of a pipeline whose home is the given folder."""

    def build(home: Path) -> dict[str, str]:
        return {**os.environ, **prefect_settings, "RELEX_HOME": str(home), "COLUMNS": "200"}

    return build


@pytest.fixture(scope="session")
def starter(prefect_settings, tmp_path_factory) -> Starter:
    """Starts the program as a shell would."""
    return Starter(prefect_settings, tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="session")
def small_recipe_file(tmp_path_factory) -> Path:
    """The small recipe, of whose objects the factors and no more are kept."""
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(yaml.safe_dump(small_recipe("small") | {"storage": {"keep": "factors"}}))
    return path


@pytest.fixture(scope="session")
def whole_run(starter, build_environment, small_recipe_file, tmp_path_factory) -> Path:
    """The home of a flow that has run it undisturbed."""
    home: Path = tmp_path_factory.mktemp("whole")
    arguments = ["pipeline", str(small_recipe_file)]
    ended = starter.run("flows.program", arguments, build_environment(home))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return home


@pytest.fixture
def run_command(starter, build_environment) -> Command:
    """`relex pipeline ARGUMENTS` with its home in the given folder."""

    def run(arguments: Sequence[str], home: Path) -> subprocess.CompletedProcess[str]:
        return starter.run("flows.program", ["pipeline", *arguments], build_environment(home))

    return run


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port on which nothing listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@dataclass(frozen=True)
class Service:
    """A Prefect server, a work pool and a process worker that serves it."""

    api: str
    environment: dict[str, str]
    """Of processes that use the server."""

    pool: str
    worker: psutil.Process
    home: Home
    """Of the pipelines that the worker runs."""

    def request(self, path: str, body: object = None, method: str = "POST") -> Any:
        """The server's answer; None where it is empty."""
        request = urllib.request.Request(
            f"{self.api}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    def deploy(self, flow: str, entrypoint: str, **fields: object) -> str:
        """A deployment of `entrypoint`, a file below the repository and a flow in it; its id."""
        created = self.request("flows/", {"name": flow})
        step = {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
        body = {
            "name": uuid4().hex,
            "flow_id": created["id"],
            "entrypoint": entrypoint,
            "work_pool_name": self.pool,
            "pull_steps": [step],
            **fields,
        }
        return self.request("deployments/", body)["id"]

    def start(self, deployment: str, **parameters: object) -> str:
        """A run of a deployment; its id."""
        path = f"deployments/{deployment}/create_flow_run"
        return self.request(path, {"parameters": parameters})["id"]

    def state(self, flow_run: str) -> str:
        return self.request(f"flow_runs/{flow_run}", method="GET")["state_type"]

    def wait_until_ended(self, flow_run: str) -> str:
        """The terminal state."""
        wait_until(lambda: self.state(flow_run) in TERMINAL, f"{flow_run} has not ended")
        return self.state(flow_run)

    def logs(self, flow_run: str) -> list[str]:
        """What the page of a run that has ended shows, line by line.

        The run's process sends the last of them before it ends.
        """
        wait_until(lambda: self._found(flow_run) is None, f"the process of {flow_run} stays")
        lines: list[str] = []
        while True:
            body = {
                "logs": {"flow_run_id": {"any_": [flow_run]}},
                "sort": "TIMESTAMP_ASC",
                "offset": len(lines),
            }
            page = self.request("logs/filter", body)
            if not page:
                return lines
            lines += [line["message"] for line in page]

    def process(self, flow_run: str) -> psutil.Process:
        """The process of a flow run that the worker has started."""
        found: list[psutil.Process] = []

        def has_come() -> bool:
            process = self._found(flow_run)
            found.extend([process] if process else [])
            return found != []

        wait_until(has_come, f"{flow_run} has no process")
        return found[0]

    def _found(self, flow_run: str) -> psutil.Process | None:
        for process in self.worker.children():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("PREFECT__FLOW_RUN_ID") == flow_run:
                    return process
        return None

    def kill_worker(self) -> None:
        """Kill the worker and what it runs, as if the machine had stopped."""
        kill(self.worker)


@contextmanager
def running_worker(pool: str, environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    """A process worker of `pool`; it and what it started is ended after the block."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process"]
    with log.open("a") as output:
        process = psutil.Popen(
            [*command, "--pool", pool], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: "started!" in log.read_text(), f"the worker did not start, see {log}")
        yield process
    finally:
        kill(process)
        process.wait()


@pytest.fixture(scope="module")
def service(tmp_path_factory, prefect_settings) -> Iterator[Service]:
    """A worker of its own for the tests of a file."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "tmp").mkdir()
    environment = {
        **os.environ,
        **prefect_settings,
        "RELEX_HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "COLUMNS": "200",
    }
    api, pool = prefect_settings["PREFECT_API_URL"], f"pool-{folder.name}"
    subprocess.run(
        [sys.executable, "-m", "prefect", "work-pool", "create", pool, "--type", "process"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
    )
    with running_worker(pool, environment, folder / "worker.log") as worker:
        yield Service(api, environment, pool, worker, Home(folder / "home"))

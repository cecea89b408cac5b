"""`make up` and `make down` as a user runs them, on free ports, in a home of their own."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient
from prefect.client.orchestration import SyncPrefectClient

from relex.home import Home
from relex.storage import S3Connection, check_writable
from relex.storage.embedded import free_port
from relex.storage.s3 import open_client
from tasks.background import Background
from tests.processes import is_alive, listening
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SERVERS = ("prefect", "mlflow", "s3")
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return Home(tmp_path_factory.mktemp("service") / "home")


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {server: free_port() for server in SERVERS}


@pytest.fixture(scope="module")
def service(home, ports) -> Iterator[Command]:
    """`relex ACTION`; ends what is left at the end, so that a failure harms no
    one."""

    def run(action: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {f"RELEX_{server.upper()}_PORT": str(port) for server, port in ports.items()}
        own |= {"RELEX_HOME": str(home.root), "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.run(
            [sys.executable, "-m", "flows.program", action],
            cwd=ROOT,
            env={**os.environ, **own, **environment},
            capture_output=True,
            text=True,
        )

    yield run
    Background(home).stop()


@pytest.fixture(scope="module")
def up(service) -> subprocess.CompletedProcess[str]:
    result = service("up")
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def client(up, ports) -> Iterator[SyncPrefectClient]:
    with SyncPrefectClient(f"http://127.0.0.1:{ports['prefect']}/api") as client:
        yield client


def processes_with(home: Home) -> list[psutil.Process]:
    """Living processes whose arguments or environment name the home."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
            alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            continue
        if alive and any(str(home.root) in word for word in words):
            found.append(process)
    return found


def test_a_port_in_use_is_told_in_one_line_and_nothing_is_started(service, home, ports):
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports["mlflow"]))
        other.listen()
        result = service("up")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"relex: port {ports['mlflow']}: mlflow cannot listen there")
    assert "choose another port: RELEX_MLFLOW_PORT=... make up" in line
    assert processes_with(home) == []


def test_a_port_that_is_none_is_told(service):
    result = service("up", RELEX_S3_PORT="ninety")
    assert result.returncode == 2
    assert "RELEX_S3_PORT: 'ninety' is no port" in result.stderr


def test_it_says_where_the_pages_are_and_listens_on_this_machine_only(up, home, ports):
    for server in SERVERS:
        assert f"http://127.0.0.1:{ports[server]}" in up.stdout
    found = {where for process in processes_with(home) for where in listening(process)}
    assert {address for address, _ in found} == {"127.0.0.1"}
    assert {port for _, port in found} >= set(ports.values())


def test_its_s3_server_takes_the_keys_of_the_home(up, home, ports):
    connection = S3Connection(
        endpoint_url=f"http://127.0.0.1:{ports['s3']}",
        region="us-east-1",
        credentials_file=str(home.root / "s3.credentials"),
        checksums="when_required",
    )
    open_client(connection).create_bucket(Bucket="mine")
    check_writable("s3://mine", connection)


def test_its_mlflow_server_and_runs_without_it_share_experiments_and_artifacts(up, home, ports):
    with_server = MlflowClient(f"http://127.0.0.1:{ports['mlflow']}")
    experiment = with_server.create_experiment("shared")
    run = with_server.create_run(experiment).info.run_id
    with_server.log_text(run, "text", "note.txt")
    without = MlflowClient(f"sqlite:///{home.mlflow_database}")
    assert [file.path for file in without.list_artifacts(run)] == ["note.txt"]
    assert without.get_experiment_by_name("shared").artifact_location.startswith("file://")
    page = f"http://127.0.0.1:{ports['mlflow']}/get-artifact?path=note.txt&run_uuid={run}"
    with urllib.request.urlopen(page) as answer:
        assert answer.read() == b"text"


def test_what_was_killed_is_started_again_and_the_rest_is_left_alone(up, service, home):
    record = Background(home)
    before = {name: process for name, (process, _) in record.living().items()}
    before["s3"].kill()
    before["s3"].wait()
    again = service("up")
    assert again.returncode == 0, again.stderr
    assert "starting s3 ..." in again.stdout
    for name in ("prefect", "mlflow", "worker"):
        assert f"{name} runs already" in again.stdout
    after = {name: process for name, (process, _) in record.living().items()}
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"s3"}


def test_another_port_while_it_runs_is_refused(up, service, ports):
    result = service("up", RELEX_PREFECT_PORT=str(free_port()))
    assert result.returncode == 2
    assert f"prefect runs on port {ports['prefect']}" in result.stderr


def test_down_leaves_nothing_even_when_parts_were_killed_while_a_run_goes_on(
    up, service, home, ports, client
):
    """The worker is killed, so that nobody but the environment knows about its run."""
    flow = client.create_flow_from_name("long-flow")
    deployment = client.create_deployment(
        flow,
        "long",
        entrypoint="tests/deployments/long_flow.py:long_flow",
        work_pool_name="relex",
        work_queue_name="gpu",
        pull_steps=[
            {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $RELEX_ROOT }}"}}
        ],
    )
    client.create_flow_run_from_deployment(deployment)
    wait_until((home.root / "processes").exists, "the run does not start")
    run, child = (psutil.Process(int(pid)) for pid in (home.root / "processes").read_text().split())
    for name in ("worker", "mlflow"):
        process, _ = Background(home).living()[name]
        os.kill(process.pid, signal.SIGKILL)
    assert run.is_running()
    assert child.is_running()
    result = service("down")
    assert result.returncode == 0, result.stderr
    assert processes_with(home) == []
    assert not is_alive(child)
    for port in ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert service("down").stdout == "ended: nothing ran\n"

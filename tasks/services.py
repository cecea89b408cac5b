"""The Prefect and MLflow servers of one machine, on 127.0.0.1 only."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from relex.errors import ResourceError
from relex.home import Home

HOST = "127.0.0.1"
PREFECT_PAGE_PORT, MLFLOW_PAGE_PORT = 4200, 5000
START_SECONDS = 120.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.2
DIES_WITH_US = (sys.executable, "-m", "relex.children")
LOG_TAIL_CHARACTERS = 2000


def prefect_environment(home: Home, port: int) -> dict[str, str]:
    """Settings with which a process uses the embedded Prefect server."""
    return {
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_LOCAL_STORAGE_PATH": str(home.prefect / "storage"),
        "PREFECT_MEMO_STORE_PATH": str(home.prefect / "memo.toml"),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def prefect_server(home: Home, port: int) -> Iterator[str]:
    """A Prefect server with its database below `home`; yields the address of its pages."""
    address = f"http://{HOST}:{port}"
    command = ["prefect", "server", "start", "--host", HOST, "--port", str(port)]
    environment = prefect_environment(home, port)
    with running_server(command, f"{address}/api/health", home.root / "prefect.log", environment):
        yield address


@contextmanager
def mlflow_server(home: Home, port: int) -> Iterator[str]:
    """An MLflow server over the database below `home`; yields its address."""
    address = f"http://{HOST}:{port}"
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home.mlflow_database}"]
    command += ["--artifacts-destination", str(home.mlflow_artifacts)]
    # Its background jobs serve prompts and traces, and would be eight more processes.
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running_server(command, f"{address}/health", home.root / "mlflow.log", environment):
        yield address


@contextmanager
def running_server(
    command: Sequence[str], health: str, log: Path, environment: Mapping[str, str]
) -> Iterator[None]:
    """Run `python -m command` until the block ends; it also ends with this process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [*DIES_WITH_US, str(os.getpid()), sys.executable, "-m", *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
    try:
        _wait_until_healthy(process, health, log)
        yield
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and the processes that it started itself."""
    with contextlib.suppress(psutil.NoSuchProcess):
        tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for member in tree:
            member.terminate()
        _, alive = psutil.wait_procs(tree, STOP_SECONDS)
        for member in alive:
            member.kill()
    process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(health):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
            raise ResourceError(f"{health}: the server did not start; the end of {log}:\n{tail}")
        time.sleep(POLL_SECONDS)


def _answers(health: str) -> bool:
    try:
        with urllib.request.urlopen(health, timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False

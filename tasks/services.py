"""The Prefect and MLflow servers of one machine, on 127.0.0.1 only."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from relex.errors import InputError, ResourceError
from relex.home import Home
from relex.storage.connection import SERVICE_CREDENTIALS, SERVICE_ENDPOINT
from relex.storage.embedded import credentials_file, serving_program

HOST = "127.0.0.1"
PREFECT_PAGE_PORT, MLFLOW_PAGE_PORT, S3_PORT = 4200, 5000, 9000
START_SECONDS = 300.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.2
NO_TELEMETRY = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
DIES_WITH_US = (sys.executable, "-m", "relex.children")
LOG_TAIL_CHARACTERS = 2000


def prefect_environment(home: Home, port: int) -> dict[str, str]:
    """Settings with which a process uses the embedded Prefect server."""
    return {
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_LOCAL_STORAGE_PATH": str(home.prefect / "storage"),
        "PREFECT_MEMO_STORE_PATH": str(home.prefect / "memo.toml"),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        **NO_TELEMETRY,
    }


@dataclass(frozen=True)
class Server:
    """A server on a port of 127.0.0.1, and what starts it."""

    name: str
    port: int
    command: list[str]
    environment: dict[str, str]
    health: str = ""
    """Path that answers as soon as the server is ready; empty where it is so when it listens."""

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def is_ready(self) -> bool:
        if self.health:
            return answers(self.address + self.health)
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0


def prefect(home: Home, port: int) -> Server:
    """A Prefect server with its database below `home`."""
    command = [sys.executable, "-m", "tasks.prefect_server", "--host", HOST, "--port", str(port)]
    return Server("prefect", port, command, prefect_environment(home, port), "/api/health")


def mlflow(home: Home, port: int) -> Server:
    """An MLflow server over the database below `home`."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{home.mlflow_database}"]
    # Without this list `10.evil.example` is taken for a machine of a private network.
    command += ["--allowed-hosts", f"{HOST},{HOST}:*,localhost,localhost:*"]
    # A folder, so that runs with and without the server find each other's artifacts.
    command += ["--default-artifact-root", home.mlflow_artifacts.as_uri()]
    # Its background jobs serve prompts and traces, and would be eight more processes.
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **NO_TELEMETRY}
    return Server("mlflow", port, command, environment, "/health")


def s3(home: Home, port: int) -> Server:
    """An S3 server on the folder that runs with an embedded storage use."""
    program = serving_program(home.s3, port)
    return Server("s3", port, program.command, program.environment)


def service_environment(home: Home, ports: Mapping[str, int]) -> dict[str, str]:
    """Settings with which a process uses the three servers, which are on these ports."""
    return {
        **prefect_environment(home, ports["prefect"]),
        # New runs are looked for every ten seconds otherwise.
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{ports['mlflow']}",
        SERVICE_ENDPOINT: f"http://{HOST}:{ports['s3']}",
        SERVICE_CREDENTIALS: str(credentials_file(home.s3)),
        "RELEX_HOME": str(home.root),
    }


@contextmanager
def running(server: Server, home: Home) -> Iterator[str]:
    """Run the server for the time of the block; it also ends with this process. Yields its address.

    Raises ResourceError with the end of its log when it does not start.
    """
    log = home.root / f"{server.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [*DIES_WITH_US, str(os.getpid()), *server.command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **server.environment},
            # Ctrl-C in a terminal is for us: whoever uses the server says first how it ended.
            process_group=0,
        )
    try:
        wait_until(server.is_ready, process, log)
        yield server.address
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            ours = psutil.Process(process.pid)
            end_processes([*ours.children(recursive=True), ours])
        process.wait()


def end_processes(processes: Collection[psutil.Process]) -> None:
    """Ask them to end, and kill those that do not."""
    for process in processes:
        terminate(process)
    _, alive = psutil.wait_procs(processes, STOP_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, STOP_SECONDS)


def terminate(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Raise ResourceError with the end of the log when the process ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
            raise ResourceError(f"{log.stem}: did not start; the end of {log}:\n{tail}")
        time.sleep(POLL_SECONDS)


def answers(url: str, within_seconds: float = 1.0) -> bool:
    """Whether a server answers there, and without an error."""
    try:
        with urllib.request.urlopen(url, timeout=within_seconds):
            return True
    except OSError:
        return False


def visible_gpus() -> list[str]:
    """Names by which CUDA_VISIBLE_DEVICES selects the GPUs that this process may use."""
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        return [name.strip() for name in stated.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    lines = listed.stdout.splitlines() if listed.returncode == 0 else []
    return [str(index) for index, _ in enumerate(line for line in lines if line.startswith("GPU "))]


def gpu_slots() -> list[str]:
    """The GPUs in groups of RELEX_GPUS_PER_RUN (1), each a value of CUDA_VISIBLE_DEVICES.

    Raises InputError when that is no number or the GPUs do not divide by it.
    """
    gpus = visible_gpus()
    stated = os.environ.get("RELEX_GPUS_PER_RUN") or "1"
    if not stated.isdecimal() or int(stated) == 0 or len(gpus) % int(stated):
        raise InputError(
            f"RELEX_GPUS_PER_RUN: {stated!r} does not divide the {len(gpus)} GPU(s) here; give a "
            "number that does"
        )
    size = int(stated)
    return [",".join(gpus[start : start + size]) for start in range(0, len(gpus), size)]

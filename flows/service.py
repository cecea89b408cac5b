"""`relex up`, `relex down` and `relex clean`: Prefect, MLflow, S3 and workers on this machine, on
127.0.0.1 only.

They run in the background and keep everything in the home folder.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from relex.config import TrackingConfig
from relex.errors import InputError, ResourceError
from relex.home import Home, clear_home, make_home, open_home
from tasks.background import WORKER, Background
from tasks.services import (
    HOST,
    MLFLOW_PAGE_PORT,
    PREFECT_PAGE_PORT,
    S3_PORT,
    Server,
    gpu_slots,
    mlflow,
    prefect,
    s3,
    service_environment,
    wait_until,
)

ROOT = Path(__file__).resolve().parents[1]
PORTS = {
    "prefect": ("RELEX_PREFECT_PORT", PREFECT_PAGE_PORT),
    "mlflow": ("RELEX_MLFLOW_PORT", MLFLOW_PAGE_PORT),
    "s3": ("RELEX_S3_PORT", S3_PORT),
}
"""For each server the variable that sets its port, and the port without it."""

WORKER_STARTED = b"started!"
"""What a worker says when it begins to take runs."""

GUIDE = """
Prefect  {prefect}   start runs with a form, watch them, switch schedules on
MLflow   {runs}
         compare runs, find registered models; from its first page, switch the side bar to
         "Model training"
S3       {s3}   bucket relex; keys in {home}/s3.credentials
Logs     {home}/service

To load a registered model with mlflow.transformers or mlflow.pyfunc, anywhere on this machine:
export MLFLOW_TRACKING_URI={mlflow} MLFLOW_S3_ENDPOINT_URL={s3} \\
    AWS_SHARED_CREDENTIALS_FILE={home}/s3.credentials

Next: open {prefect}/deployments, choose relex-pipeline, then Run.
`make down` ends all of it; runs and results stay in {home}."""


def up() -> None:
    """Start Prefect, MLflow, S3 and workers in the background; says where the pages are."""
    # When nothing ran before and something fails, nothing runs afterwards.
    home = make_home()
    background = Background(home)
    before = background.running
    for name in before:
        print(f"{name} runs already")
    servers = _servers(home, before)
    addresses = {server.name: server.address for server in servers}
    try:
        _start_servers(background, [server for server in servers if server.name not in before])
        environment = service_environment(home, {server.name: server.port for server in servers})
        slots = gpu_slots()
        _apply_deployments(environment, len(slots))
        _start_workers(background, environment, slots)
    except BaseException:
        if not before:
            background.stop()
        raise
    print(GUIDE.format(home=home.root, runs=_runs_page(addresses["mlflow"]), **addresses))


def down() -> None:
    """End everything that `up` started, and the runs that go on because of it."""
    background = Background(open_home())
    names = ", ".join(background.running) or "nothing ran"
    background.stop()
    print(f"ended: {names}")


def clean() -> None:
    """End everything that `up` started, and remove what relex made in its home."""
    down()
    home = open_home()
    left = clear_home(home)
    print(f"{home.root}: {f'left {len(left)} files, {left[0]} first' if left else 'removed'}")


def _runs_page(server: str) -> str:
    """The list of the runs, whose experiment is made where there is none yet."""
    # Seconds, which `down` need not wait for.
    from tasks.tracking_client import open_client
    from tasks.tracking_experiment import open_experiment, runs_page

    experiment = open_experiment(open_client(server), TrackingConfig().experiment)
    return runs_page(server, experiment)


def _servers(home: Home, running: Mapping[str, int]) -> list[Server]:
    ports = {name: _port(name, running.get(name)) for name in PORTS}
    servers = [build(home, ports[build.__name__]) for build in (prefect, mlflow, s3)]
    for server in servers:
        if server.name not in running:
            _check_free(server)
    return servers


def _port(name: str, running: int | None) -> int:
    variable, default = PORTS[name]
    stated = os.environ.get(variable) or str(running or default)
    if not stated.isdecimal() or not 0 < int(stated) < 1 << 16:
        raise InputError(f"{variable}: {stated!r} is no port; give a number from 1 to 65535")
    if running and int(stated) != running:
        raise InputError(
            f"{variable}: {name} runs on port {running}, not {stated}; make down first"
        )
    return int(stated)


def _check_free(server: Server) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, server.port))
        except OSError as error:
            variable, _ = PORTS[server.name]
            raise ResourceError(
                f"port {server.port}: {server.name} cannot listen there ({error.strerror}); end "
                f"the program that does, or choose another port: {variable}=... make up"
            ) from error


def _start_servers(background: Background, servers: Sequence[Server]) -> None:
    """Start them together and wait for each: one takes ten seconds and more."""
    started = []
    for server in servers:
        print(f"starting {server.name} ...", flush=True)
        command, environment = server.command, server.environment
        started.append(background.start(server.name, command, environment, server.port))
    for server, process in zip(servers, started, strict=True):
        wait_until(server.is_ready, process, background.log(server.name))


def _apply_deployments(environment: Mapping[str, str], num_slots: int) -> None:
    print("applying the deployments ...", flush=True)
    applied = subprocess.run(
        [sys.executable, "-m", "deployments.apply", "--gpus", str(num_slots)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    if applied.returncode != 0:
        raise InputError(applied.stderr.strip().removeprefix("error: "))


def _start_workers(
    background: Background, environment: Mapping[str, str], slots: Sequence[str]
) -> None:
    """One worker for each slot of GPUs and one for runs that need none; without a GPU just one."""
    if slots:
        for index, slot in enumerate(slots):
            only = {**environment, "CUDA_VISIBLE_DEVICES": slot}
            _start_worker(background, f"{WORKER}-{index}", ["gpu"], only, limit=1)
        none = {**environment, "CUDA_VISIBLE_DEVICES": ""}
        _start_worker(background, f"{WORKER}-light", ["light"], none)
    else:
        _start_worker(background, WORKER, ["gpu", "light"], environment)


def _start_worker(
    background: Background,
    name: str,
    queues: Sequence[str],
    environment: Mapping[str, str],
    limit: int | None = None,
) -> None:
    if name in background.running:
        return
    print(f"starting {name} ...", flush=True)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process"]
    command += ["--pool", "relex", "--name", name, *(f"--work-queue={queue}" for queue in queues)]
    command += [f"--limit={limit}"] if limit else []
    log = background.log(name)
    process = background.start(name, command, {**environment, "RELEX_ROOT": str(ROOT)})
    wait_until(lambda: WORKER_STARTED in log.read_bytes(), process, log)

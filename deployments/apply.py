"""`python -m deployments.apply`: brings a Prefect server to what prefect.yaml says.

Work pool, queues, deployments and automations are created or updated, each with a line; applying
again changes nothing. Whether a schedule or an automation is switched on is the file's choice only
at first, and then the users'.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from deployments.apply_automations import apply_automations, apply_webhook
from deployments.checked import checked
from relex.config.addresses import check_command
from relex.errors import InputError, RelexError, ResourceError
from tasks.services import visible_gpus

POOL = "relex"
POOL_TYPES = ("process", "docker", "kubernetes")
"""How a worker starts a run; the first is the default and needs nothing but the clone."""

QUEUES: dict[str, dict[str, Any]] = {
    "gpu": {
        "description": "Training and generation. One run at a time on each GPU; without a GPU no "
        "limit.",
        "priority": 1,
    },
    "light": {
        "description": "Runs that only start others and wait, so that they take no GPU from those.",
        "priority": 2,
    },
}
ROOT = Path(__file__).resolve().parents[1]
REGISTRY = ROOT / "prefect.yaml"
Entry = dict[str, Any]
LAST_LINES = 15


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deployments.apply", description=__doc__)
    parser.add_argument(
        "--gpus",
        type=int,
        default=len(visible_gpus()),
        help="GPUs of all workers together, which is how many runs of the queue `gpu` go on at "
        "once; 0 is no limit; default: those of this machine",
    )
    parser.add_argument("--pool-type", choices=POOL_TYPES, default=POOL_TYPES[0])
    parser.add_argument("--registry", type=Path, default=REGISTRY, help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        check_command()
        for line in apply(arguments.registry, arguments.gpus, arguments.pool_type):
            print(line, flush=True)
    except RelexError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def apply(registry_path: Path, num_gpus: int, pool_type: str) -> Iterator[str]:
    """Yield one line for each object that is now on the server.

    Raises ResourceError when no server answers, InputError when the file asks for something that
    Prefect does not take.
    """
    registry = read_registry(registry_path)
    with answering_server() as client:
        yield apply_pool(client, POOL, pool_type)
        yield apply_queue(client, "gpu", num_gpus or None)
        yield apply_queue(client, "light", None)
        yield from apply_deployments(client, registry)
        yield from apply_automations(client)
        yield from apply_webhook(client)


@contextmanager
def answering_server() -> Iterator[SyncPrefectClient]:
    """The server of PREFECT_API_URL; raises ResourceError when there is none or it is silent."""
    address: Any = get_current_settings().api.url
    if not address:
        raise ResourceError(
            "PREFECT_API_URL: is not set; `make up` starts a server on this machine, or set it to "
            "the address of yours, for example http://127.0.0.1:4200/api"
        )
    with get_client(sync_client=True) as client:
        fault = client.api_healthcheck()
        if fault is not None:
            raise ResourceError(
                f"PREFECT_API_URL {address}: no Prefect server answers ({fault}); start it "
                "(`make up`) or correct the address"
            )
        yield client


def apply_pool(client: SyncPrefectClient, name: str, pool_type: str) -> str:
    """Create or update the pool.

    Raises InputError when it exists with another type, which cannot be changed.
    """
    path = ROOT / "deployments" / pool_type / "base-job-template.json"
    # What a Docker or Kubernetes worker makes of a run; a process needs no file for it.
    own = {"base_job_template": json.loads(path.read_text())} if path.is_file() else {}
    wanted = {"description": "Runs of relex.", **own}
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        usual = {"base_job_template": ProcessWorker.get_default_base_job_template()}
        client.create_work_pool(WorkPoolCreate(name=name, type=pool_type, **(usual | wanted)))
    else:
        if found.type != pool_type:
            raise InputError(
                f"work pool {name}: has type {found.type}, not {pool_type}, and a type cannot be "
                f"changed; choose --pool-type {found.type}, or `prefect work-pool delete {name}`"
            )
        client.update_work_pool(name, WorkPoolUpdate(**wanted))
    return f"work pool {name} ({pool_type})"


def apply_queue(client: SyncPrefectClient, name: str, limit: int | None) -> str:
    """Create or update a queue of the pool, in which `limit` runs go on at once."""
    wanted = {**QUEUES[name], "concurrency_limit": limit}
    try:
        found = client.read_work_queue_by_name(name, POOL)
    except ObjectNotFound:
        client.create_work_queue(name, work_pool_name=POOL, **wanted)
    else:
        client.update_work_queue(found.id, **wanted)
    return f"work queue {POOL}/{name} ({f'{limit} run(s) at once' if limit else 'no limit'})"


def read_registry(path: Path = REGISTRY) -> Entry:
    """The file's content; raises InputError with a line for everything in it that Prefect does
    not take."""
    if not path.is_file():
        raise InputError(f"{path}: does not exist; run this in a clone of relex")
    registry = yaml.safe_load(path.read_text())
    checked(PrefectYamlModel, registry, path.name)
    if not registry.get("pull"):
        raise InputError(
            f"{path}: pull: is missing; without it runs start in the folder from which they were "
            "deployed, also on other machines"
        )
    return dict(registry)


def apply_deployments(client: SyncPrefectClient, registry: Entry) -> Iterator[str]:
    """Create or update the deployments; yields a line for each.

    Schedules that users have switched stay as they are, and those that are no longer in the file,
    which `prefect deploy` leaves running, are deleted. Raises InputError when it refuses the file.
    """
    written = {
        (entry["name"], schedule.get("slug")): schedule
        for entry in registry["deployments"]
        for schedule in entry.get("schedules", [])
    }
    gone = []
    names = [entry["name"] for entry in registry["deployments"]]
    for deployment in read_deployments(client, names).values():
        for schedule in deployment.schedules:
            if (deployment.name, schedule.slug) in written:
                written[deployment.name, schedule.slug]["active"] = schedule.active
            else:
                gone.append((deployment.id, schedule.id))
    _prefect_deploy(registry)
    for deployment_id, schedule_id in gone:
        client.delete_deployment_schedule(deployment_id, schedule_id)
    yield from (f"deployment {name}" for name in names)


def read_deployments(client: SyncPrefectClient, names: list[str]) -> dict[str, DeploymentResponse]:
    """The deployments with these names; of two with one name the newer."""
    found = client.read_deployments(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=names))
    )
    ordered = sorted(found, key=lambda deployment: str(deployment.created))
    return {deployment.name: deployment for deployment in ordered}


def _prefect_deploy(registry: Entry) -> None:
    # Set, it would be written into the pull step in place of each worker's own.
    environment = {key: value for key, value in os.environ.items() if key != "RELEX_ROOT"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prefect.yaml"
        path.write_text(yaml.safe_dump(registry))
        command = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path)]
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-LAST_LINES:])
        raise InputError(f"prefect.yaml: `prefect deploy` refuses it; its last lines:\n{tail}")


if __name__ == "__main__":
    main()

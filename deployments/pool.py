"""The work pool and its queues."""

import json
from collections.abc import Iterator
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from deployments.registry import ROOT, Entry
from relex.errors import InputError

POOL_TYPES = ("process", "docker", "kubernetes")
"""How a worker starts a run; the first is the default and needs nothing but the clone."""


def apply_pool(
    client: SyncPrefectClient, pool: Entry, num_gpus: int, pool_type: str
) -> Iterator[str]:
    """Create or update the pool and its queues; yields a line for each.

    Raises InputError when the pool exists with another type, which cannot be changed.
    """
    name = pool["name"]
    wanted = {"description": pool["description"], **_job_template(pool_type)}
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        create = {"base_job_template": template} | wanted
        client.create_work_pool(WorkPoolCreate(name=name, type=pool_type, **create))
        yield f"created    work pool {name} ({pool_type})"
    else:
        _check_type(found, pool_type)
        if _changes(wanted, found):
            client.update_work_pool(name, WorkPoolUpdate(**wanted))
        yield f"{_state(_changes(wanted, found))} work pool {name} ({pool_type})"
    for queue in pool["work_queues"]:
        yield _apply_queue(client, name, queue, num_gpus)


def _job_template(pool_type: str) -> dict[str, Any]:
    """What a Docker or Kubernetes worker makes of a run; a process needs no file for it."""
    path = ROOT / "deployments" / pool_type / "base-job-template.json"
    return {"base_job_template": json.loads(path.read_text())} if path.is_file() else {}


def _check_type(found: WorkPool, pool_type: str) -> None:
    if found.type != pool_type:
        raise InputError(
            f"work pool {found.name}: has type {found.type}, not {pool_type}, and a type cannot be "
            f"changed; choose --pool-type {found.type}, or `prefect work-pool delete {found.name}`"
        )


def _apply_queue(client: SyncPrefectClient, pool: str, queue: Entry, num_gpus: int) -> str:
    limit = (num_gpus or None) if queue.get("one_run_per_gpu") else None
    name = queue["name"]
    wanted = {
        "description": queue["description"],
        "priority": queue["priority"],
        "concurrency_limit": limit,
    }
    runs = f"{limit} run(s) at once" if limit else "no limit"
    line = f"work queue {pool}/{name} ({runs})"
    try:
        found = client.read_work_queue_by_name(name, pool)
    except ObjectNotFound:
        client.create_work_queue(name, work_pool_name=pool, **wanted)
        return f"created    {line}"
    if changed := _changes(wanted, found):
        client.update_work_queue(found.id, **wanted)
    return f"{_state(changed)} {line}"


def _changes(wanted: dict[str, Any], found: Any) -> bool:
    return any(getattr(found, field) != value for field, value in wanted.items())


def _state(changed: bool) -> str:
    return "updated   " if changed else "unchanged "

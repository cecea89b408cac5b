"""The deployments of prefect.yaml, by `prefect deploy`, read back."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.responses import DeploymentResponse

from deployments.registry import ROOT, Entry, differences, entry_of, expected_entry
from relex.errors import InputError

Deployments = Mapping[str, DeploymentResponse]
LAST_LINES = 15


def apply_deployments(client: SyncPrefectClient, registry: Entry) -> Iterator[str]:
    """Create or update the deployments; yields a line for each.

    Raises InputError when `prefect deploy` refuses the file, or when something of the file is not
    on the server afterwards.
    """
    names = [entry["name"] for entry in registry["deployments"]]
    before = read_deployments(client, names)
    registry = with_schedules_as_they_are(registry, before)
    _prefect_deploy(registry)
    _remove_schedules(client, registry, read_deployments(client, names))
    after = read_deployments(client, names)
    for name in names:
        yield f"{_state(before.get(name), after.get(name))} deployment {name}"
    check_read_back(registry, after)


def read_deployments(client: SyncPrefectClient, names: list[str]) -> Deployments:
    """The deployments with these names; of two with one name the newer."""
    found = client.read_deployments(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=names))
    )
    ordered = sorted(found, key=lambda deployment: str(deployment.created))
    return {deployment.name: deployment for deployment in ordered}


def with_schedules_as_they_are(registry: Entry, on_server: Deployments) -> Entry:
    """The registry with its schedules on or off as users have switched them."""
    switched = {
        (name, schedule.slug): schedule.active
        for name, deployment in on_server.items()
        for schedule in deployment.schedules
    }

    def switch(entry: Entry) -> Entry:
        schedules = [
            schedule | {"active": switched.get((entry["name"], slug), schedule["active"])}
            for schedule in entry.get("schedules", [])
            for slug in [schedule["slug"]]
        ]
        return entry | ({"schedules": schedules} if schedules else {})

    return registry | {"deployments": [switch(entry) for entry in registry["deployments"]]}


def check_read_back(registry: Entry, on_server: Deployments) -> None:
    """Raise InputError with a line for everything in which the server differs from the file."""
    faults = [
        fault
        for entry in registry["deployments"]
        for fault in _faults(expected_entry(registry, entry), on_server.get(entry["name"]))
    ]
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise InputError(f"prefect.yaml: not all of it is on the server:\n{listed}")


def _faults(expected: Entry, found: DeploymentResponse | None) -> Iterator[str]:
    where = f"deployments.{expected['name']}"
    if found is None:
        yield f"{where}: is not on the server"
    else:
        yield from differences(expected, entry_of(found), where)


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


def _remove_schedules(client: SyncPrefectClient, registry: Entry, on_server: Deployments) -> None:
    """Delete schedules that are no longer in the file, which `prefect deploy` leaves running."""
    for entry in registry["deployments"]:
        kept = {schedule["slug"] for schedule in entry.get("schedules", [])}
        deployment = on_server.get(entry["name"])
        for schedule in deployment.schedules if deployment else []:
            if schedule.slug not in kept:
                assert deployment is not None
                client.delete_deployment_schedule(deployment.id, schedule.id)


def _state(before: DeploymentResponse | None, after: DeploymentResponse | None) -> str:
    if before is None:
        return "created   "
    return "unchanged " if _content(before) == _content(after) else "updated   "


def _content(deployment: DeploymentResponse | None) -> Any:
    return deployment and (entry_of(deployment), deployment.parameter_openapi_schema)

"""Deployments and automations, brought to a server; what Prefect would drop of them is refused."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.schemas.automations import AutomationCore
from pydantic import BaseModel, ValidationError

from relex.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
REGISTRY = ROOT / "prefect.yaml"
Entry = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)
LAST_LINES = 15


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


def checked(model: type[Model], entry: Any, where: str) -> Model:
    """The entry as `model`; raises InputError when it is none, or has keys that the model drops."""
    try:
        taken = model.model_validate(entry)
    except ValidationError as error:
        raise InputError(f"{where}: Prefect does not take it: {error}") from error
    kept = taken.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if lines := list(_dropped(entry, kept, where)):
        raise InputError("\n".join(lines))
    return taken


def _dropped(written: Any, kept: Any, where: str) -> Iterator[str]:
    if isinstance(written, dict) and isinstance(kept, dict):
        for key, value in written.items():
            if key in kept:
                yield from _dropped(value, kept[key], f"{where}.{key}")
            else:
                yield (
                    f"{where}.{key}: Prefect does not know this key and drops it; "
                    "correct or remove it"
                )
    elif isinstance(written, list) and isinstance(kept, list):
        for index, pair in enumerate(zip(written, kept, strict=True)):
            yield from _dropped(*pair, f"{where}[{index}]")


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


def apply_automations(client: SyncPrefectClient) -> Iterator[str]:
    """Create or update the automations; yields a line for each.

    One that is the same is left alone, because a new one forgets which runs it waits for.
    """
    for path in sorted((ROOT / "deployments" / "automations").glob("*.yaml")):
        wanted = checked(AutomationCore, yaml.safe_load(path.read_text()), path.name)
        same_name = client.read_automations_by_name(wanted.name)
        if not same_name:
            client.create_automation(wanted)
        else:
            found = same_name[0]
            wanted = wanted.model_copy(update={"enabled": found.enabled})
            if _content(found) != _content(wanted):
                client.update_automation(found.id, wanted)
        yield f"automation {wanted.name}"


def _content(automation: AutomationCore) -> Any:
    """What a person wrote: without the ids that every object draws anew.

    As Python objects, because the sets of event names have no order in JSON.
    """
    return _without_ids(automation.model_dump(include={*AutomationCore.model_fields}))


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key != "id"}
    return [_without_ids(item) for item in value] if isinstance(value, list) else value

"""Prefect automations from deployments/automations/*.yaml, one or a list of them in each file."""

from collections.abc import Iterator
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore
from pydantic import ValidationError

from deployments.registry import ROOT, Entry, differences
from relex.errors import InputError

FOLDER = ROOT / "deployments" / "automations"


def apply_automations(client: SyncPrefectClient) -> Iterator[str]:
    """Create or update the automations by name; yields a line for each.

    Whether one is switched on is the file's choice only at first. Raises InputError for a file
    that is no automation or has keys that Prefect drops.
    """
    for path in sorted(FOLDER.glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        for entry in content if isinstance(content, list) else [content]:
            yield _apply(client, entry, str(path.relative_to(ROOT)))


def _apply(client: SyncPrefectClient, entry: Entry, where: str) -> str:
    try:
        wanted = AutomationCore.model_validate(entry)
    except ValidationError as error:
        raise InputError(f"{where}: is no automation: {error}") from error
    faults = list(differences(entry, wanted.model_dump(mode="json"), where))
    if faults:
        raise InputError("\n".join(faults))
    same_name = client.read_automations_by_name(wanted.name)
    if not same_name:
        client.create_automation(wanted)
        return f"created    automation {wanted.name}"
    found = same_name[0]
    wanted = wanted.model_copy(update={"enabled": found.enabled})
    if _content(found) == _content(wanted):
        return f"unchanged  automation {wanted.name}"
    client.update_automation(found.id, wanted)
    return f"updated    automation {wanted.name}"


def _content(automation: AutomationCore) -> Any:
    """What a person wrote: without the ids that every object draws anew.

    As Python objects, because the sets of event names have no order in JSON.
    """
    return _without_ids(automation.model_dump(include={*AutomationCore.model_fields}))


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key != "id"}
    if isinstance(value, list):
        return [_without_ids(item) for item in value]
    return value

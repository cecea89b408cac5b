"""The automations of `deployments/automations` on a Prefect server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore
from pydantic import ValidationError

from deployments.checked import checked
from relex.errors import InputError

AUTOMATIONS = Path(__file__).resolve().parent / "automations"
WEBHOOK_VARIABLE, WEBHOOK_BLOCK = "RELEX_SWEEP_WEBHOOK", "relex-sweep-finished"
"""In the environment, because every user of a machine can read the arguments of a process."""


def apply_automations(client: SyncPrefectClient) -> Iterator[str]:
    """Create or update the automations; yields a line for each.

    One that is the same is left alone, because a new one forgets which runs it waits for.
    """
    for path in sorted(AUTOMATIONS.glob("*.yaml")):
        yield _apply_automation(client, path.read_text(), path.name)


def apply_webhook(client: SyncPrefectClient) -> Iterator[str]:
    """The automation that calls the webhook of RELEX_SWEEP_WEBHOOK when a sweep has ended; yields
    nothing where that is not set. Prefect keeps the address encrypted.

    Raises InputError for an address that is none.
    """
    address = os.environ.get(WEBHOOK_VARIABLE)
    if not address:
        return
    try:
        block = Webhook(url=address).save(WEBHOOK_BLOCK, overwrite=True)
    except ValidationError as error:
        raise InputError(f"{WEBHOOK_VARIABLE}: is no address of a webhook") from error
    template = AUTOMATIONS / "templates" / "sweep-finished.yaml"
    text = template.read_text().replace("BLOCK_ID", str(block))
    yield _apply_automation(client, text, template.name)


def _apply_automation(client: SyncPrefectClient, text: str, where: str) -> str:
    wanted = checked(AutomationCore, yaml.safe_load(text), where)
    same_name = client.read_automations_by_name(wanted.name)
    if not same_name:
        client.create_automation(wanted)
    else:
        found = same_name[0]
        wanted = wanted.model_copy(update={"enabled": found.enabled})
        if _content(found) != _content(wanted):
            client.update_automation(found.id, wanted)
    return f"automation {wanted.name}"


def _content(automation: AutomationCore) -> Any:
    """What a person wrote: without the ids that every object draws anew.

    As Python objects, because the sets of event names have no order in JSON.
    """
    return _without_ids(automation.model_dump(include={*AutomationCore.model_fields}))


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key != "id"}
    return [_without_ids(item) for item in value] if isinstance(value, list) else value

"""prefect.yaml and what a server made of it, in one shape, so that they can be compared.

Prefect drops unknown keys of a deployment without a word. So nothing is believed: every key of the
file must come back from the server with the same value.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse

from relex.errors import InputError

Entry = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
REGISTRY = ROOT / "prefect.yaml"
KNOWN_SECTIONS = {"name", "prefect-version", "definitions", "pull", "deployments"}


def read_registry(path: Path = REGISTRY) -> Entry:
    """The file's content; raises InputError for a section that Prefect would pass over."""
    if not path.is_file():
        raise InputError(f"{path}: does not exist; run this in a clone of relex")
    registry: Entry = yaml.safe_load(path.read_text())
    for section in registry.keys() - KNOWN_SECTIONS:
        known = ", ".join(sorted(KNOWN_SECTIONS))
        raise InputError(f"{path}: {section}: unknown section; known are {known}")
    if not registry.get("pull"):
        raise InputError(
            f"{path}: pull: is missing; without it runs start in the folder from which they were "
            "deployed, also on other machines"
        )
    return registry


def expected_entry(registry: Entry, entry: Entry) -> Entry:
    """A deployment of the file together with what the file says for all of them."""
    limit = entry.get("concurrency_limit")
    written_short = {"concurrency_limit": {"limit": limit}} if isinstance(limit, int) else {}
    return {"pull": registry["pull"], "schedules": [], **entry, **written_short}


def entry_of(deployment: DeploymentResponse) -> Entry:
    """A deployment of the server in the shape in which prefect.yaml writes it."""
    limit = deployment.global_concurrency_limit
    options = deployment.concurrency_options
    return {
        "name": deployment.name,
        "description": deployment.description,
        "version": deployment.version,
        "entrypoint": deployment.entrypoint,
        "tags": deployment.tags,
        "paused": deployment.paused,
        "parameters": deployment.parameters,
        "enforce_parameter_schema": deployment.enforce_parameter_schema,
        "concurrency_limit": limit
        and {"limit": limit.limit, **(options.model_dump(mode="json") if options else {})},
        "pull": deployment.pull_steps,
        "schedules": [_schedule_of(schedule) for schedule in deployment.schedules],
        "work_pool": {
            "name": deployment.work_pool_name,
            "work_queue_name": deployment.work_queue_name,
            "job_variables": deployment.job_variables,
        },
    }


def _schedule_of(schedule: DeploymentSchedule) -> Entry:
    own = schedule.model_dump(mode="json", include={"slug", "active", "parameters"})
    return own | schedule.schedule.model_dump(mode="json")


def differences(expected: Any, found: Any, where: str) -> Iterator[str]:
    """One line for each value of `expected` that `found` has not, with its place.

    Keys that `expected` leaves out may have any value. Things that have a slug are compared by it,
    other lists in their order, words and numbers in any order, because Prefect keeps them as sets.
    """
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key, value in expected.items():
            place = f"{where}.{key}"
            if key in found:
                yield from differences(value, found[key], place)
            else:
                yield f"{place}: Prefect does not know this key and drops it; correct or remove it"
    elif _have_slugs(expected) and _have_slugs(found):
        yield from differences(_by_slug(expected), _by_slug(found), where)
        for slug in _by_slug(found).keys() - _by_slug(expected).keys():
            yield f"{where}.{slug}: is on the server and not in the file"
    elif _are_mappings(expected) and _are_mappings(found) and len(expected) == len(found):
        for index, pair in enumerate(zip(expected, found, strict=True)):
            yield from differences(*pair, f"{where}[{index}]")
    elif _sorted(expected) != _sorted(found):
        yield f"{where}: the file says {expected!r}, the server has {found!r}"


def _are_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _have_slugs(value: Any) -> bool:
    return _are_mappings(value) and all("slug" in item for item in value)


def _sorted(value: Any) -> Any:
    return sorted(map(repr, value)) if isinstance(value, list) else value


def _by_slug(items: list[Entry]) -> dict[str, Entry]:
    return {item["slug"]: item for item in items}

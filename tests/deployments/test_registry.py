"""What Prefect would drop from the file without a word is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore

from deployments.apply import REGISTRY, read_registry
from deployments.checked import checked
from relex.errors import InputError

AUTOMATIONS = REGISTRY.parent / "deployments" / "automations"
DROPS = "Prefect does not know this key and drops it; correct or remove it"


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[Any], str]:
    """What is said about a file with this content."""

    def read(content: Any) -> str:
        path = tmp_path / "prefect.yaml"
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(InputError) as error:
            read_registry(path)
        return str(error.value)

    return read


def test_the_file_is_taken_as_it_stands():
    assert read_registry() == yaml.safe_load(REGISTRY.read_text())


def test_keys_that_prefect_drops_are_told_with_their_place(refusal):
    registry = yaml.safe_load(REGISTRY.read_text())
    pipeline, _, sweep = registry["deployments"]
    registry["definitions"] = {}
    pipeline["concurrency_options"] = {"collision_strategy": "ENQUEUE"}
    pipeline["work_pool"]["work_queue"] = pipeline["work_pool"].pop("work_queue_name")
    sweep["concurrency_limit"] = {"limit": 1, "strategy": "ENQUEUE"}
    assert refusal(registry).splitlines() == [
        f"prefect.yaml.definitions: {DROPS}",
        f"prefect.yaml.deployments[0].concurrency_options: {DROPS}",
        f"prefect.yaml.deployments[0].work_pool.work_queue: {DROPS}",
        f"prefect.yaml.deployments[2].concurrency_limit.strategy: {DROPS}",
    ]


def test_a_schedule_with_an_unknown_key_is_refused(refusal):
    registry = yaml.safe_load(REGISTRY.read_text())
    registry["deployments"][2]["schedules"][0]["time_zone"] = "UTC"
    assert refusal(registry).startswith("prefect.yaml: Prefect does not take it: ")
    assert "time_zone" in refusal(registry)


@pytest.mark.parametrize("content", [["a"], None, "words"])
def test_what_is_no_such_file_is_told(refusal, content):
    assert refusal(content).startswith("prefect.yaml: Prefect does not take it: ")


def test_without_a_pull_step_the_file_is_refused(refusal):
    registry = yaml.safe_load(REGISTRY.read_text())
    del registry["pull"]
    assert "prefect.yaml: pull: is missing; without it runs start" in refusal(registry)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="does not exist; run this in a clone"):
        read_registry(tmp_path / "prefect.yaml")


@pytest.mark.parametrize("path", sorted(AUTOMATIONS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_an_automation_has_only_keys_that_prefect_knows(path):
    entry = yaml.safe_load(path.read_text())
    entry["actions"] = [
        {key: value for key, value in action.items() if value != "BLOCK_ID"}
        | ({"block_document_id": "0" * 32} if "block_document_id" in action else {})
        for action in entry["actions"]
    ]
    assert checked(AutomationCore, entry, path.name).name == entry["name"]
    entry["trigger"]["treshold"] = 2
    with pytest.raises(InputError, match=rf"{path.name}\.trigger\.treshold: Prefect does not know"):
        checked(AutomationCore, entry, path.name)


def test_every_schedule_has_a_slug_by_which_it_is_found_again():
    for entry in read_registry()["deployments"]:
        assert all(schedule["slug"] for schedule in entry.get("schedules", []))

"""What the form of a sweep asks for."""

from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema

from deployments.apply import read_registry
from flows.sweep import reward_sweep
from relex.config import SweepConfig
from tasks.form import PRESETS

TOY_SWEEP = next(
    entry["parameters"]["sweep"]
    for entry in read_registry()["deployments"]
    if entry["name"] == "reward-sweep"
)


@pytest.fixture(scope="module")
def asked() -> dict[str, Any]:
    """The fields that a Prefect server learns of the sweep."""
    sweep: dict[str, Any] = parameter_schema(reward_sweep).properties["sweep"]
    return dict(sweep["properties"])


def test_fields_are_those_of_a_sweep_in_their_order_and_described(asked):
    by_position = sorted(asked, key=lambda name: int(asked[name]["position"]))
    assert by_position == list(SweepConfig.model_fields)
    assert {name: field["title"] for name, field in asked.items()} == {n: n for n in asked}
    assert [name for name, field in asked.items() if not field["description"]] == []


def test_a_base_is_chosen_among_the_shipped_recipes_or_given(asked):
    named, file, whole = asked["base"]["anyOf"]
    assert sorted(named["enum"]) == sorted(path.stem for path in PRESETS.glob("*.yaml"))
    assert (file["type"], whole["type"]) == ("string", "object")


def test_terms_have_their_reward_first(asked):
    terms = asked["rewards"]["items"]["properties"]["terms"]["items"]["properties"]
    assert sorted(terms, key=lambda name: int(terms[name]["position"]))[0] == "reward"


def test_what_the_form_shows_at_first_is_a_sweep_of_a_shipped_recipe(asked):
    assert TOY_SWEEP["base"] in asked["base"]["anyOf"][0]["enum"]
    assert SweepConfig.model_validate(TOY_SWEEP).mode == "pool"

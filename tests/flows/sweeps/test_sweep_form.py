"""What the form of a sweep asks for."""

import re
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema

from deployments.apply import read_registry
from flows.sweep import reward_sweep
from relex.config import SweepConfig
from relex.doors import REWARD
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


def test_a_base_is_named_or_given_whole(asked):
    named, whole = asked["base"]["anyOf"]
    shipped = [path.stem for path in PRESETS.glob("*.yaml")]
    taken = [re.fullmatch(named["pattern"], name) for name in (*shipped, "mine/own.yaml")]
    assert None not in taken
    assert re.fullmatch(named["pattern"], "toy-smal") is None
    assert all(name in asked["base"]["description"] for name in shipped)
    assert (named["type"], whole["type"]) == ("string", "object")


def test_terms_have_their_reward_first_which_shows_built_in_and_own_ones_alike(asked):
    terms = asked["rewards"]["items"]["properties"]["terms"]["items"]["properties"]
    assert sorted(terms, key=lambda name: int(terms[name]["position"]))[0] == "reward"
    # The page opens the first text among several, whichever it is that was set.
    assert "anyOf" not in terms["reward"]
    for name in (*REWARD.built_in, "relex.toy.rewards:chatty"):
        assert re.fullmatch(terms["reward"]["pattern"], name)
    assert all(f"`{name}`" in terms["reward"]["description"] for name in REWARD.built_in)


def test_what_the_form_shows_at_first_is_a_sweep_of_a_shipped_recipe():
    assert SweepConfig.model_validate(TOY_SWEEP).mode == "pool"

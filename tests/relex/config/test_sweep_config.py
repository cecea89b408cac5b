"""Sweeps: what is accepted, and the one line that says what is wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from relex.config import RewardVariant, SweepConfig, TrainingVariant, load_sweep
from relex.errors import RecipeError

DEPLOYMENTS = Path(__file__).parents[3] / "deployments"
SWEEP: dict[str, Any] = {
    "name": "mine",
    "base": "toy",
    "rewards": [
        {"name": "good", "terms": [{"reward": "exact_match"}]},
        {"name": "form", "terms": [{"reward": "format"}]},
    ],
}


def loaded(tmp_path: Path, **changes: Any) -> SweepConfig:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, **changes}))
    return load_sweep(path)


@pytest.mark.parametrize(
    "path", sorted((DEPLOYMENTS / "sweeps").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_shipped_sweep_is_valid(path: Path) -> None:
    assert load_sweep(path).rewards


@pytest.mark.parametrize("section", [SweepConfig, RewardVariant, TrainingVariant])
def test_every_field_is_documented(section: type) -> None:
    assert [name for name, field in section.model_fields.items() if not field.description] == []


def test_a_base_may_be_a_name_or_a_whole_recipe(tmp_path: Path) -> None:
    whole = yaml.safe_load((DEPLOYMENTS / "recipes" / "toy.yaml").read_text())
    assert loaded(tmp_path).base == "toy"
    assert loaded(tmp_path, base=whole).base.training.steps == 30


def test_a_sweep_survives_a_round_trip(tmp_path: Path) -> None:
    sweep = load_sweep(DEPLOYMENTS / "sweeps" / "toy-sweep.yaml")
    assert SweepConfig.model_validate(sweep.model_dump(mode="json")) == sweep


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": SWEEP["rewards"][:1] * 2}, "rewards: good is there twice; list each once"),
        ({"seeds": [3, 1, 3]}, "seeds: 3 is there twice; list each once"),
        (
            {"learning_rates": [1e-5, 1e-5]},
            "learning_rates: 1e-05 is there twice; list each once",
        ),
        (
            {"training": [{"name": "a", "settings": {}}] * 2},
            "training: a is there twice; list each once",
        ),
        ({"rewards": []}, "rewards: tuple should have at least 1 item"),
        ({"rewards": [{"name": "good", "terms": []}]}, "rewards.0.terms: tuple should have at"),
        ({"seeds": []}, "seeds: tuple should have at least 1 item"),
        ({"seeds": [-1]}, "seeds.0: input should be greater than or equal to 0, found -1"),
        ({"base": ""}, "base.name: string should have at least 1 character"),
        ({"reward": []}, "reward: unknown key; did you mean rewards?"),
        ({"mode": "cloud"}, "mode: input should be 'pool' or 'inline', found 'cloud'"),
        (
            {"training": [{"name": "a", "settings": {"learning_rate": 1}}]},
            "training.0.settings: learning_rate: list rates in learning_rates",
        ),
        (
            {"training": [{"name": "a", "settings": {"grader": "format"}}]},
            "training.0.settings: grader is not a field of training; a sweep may change nothing "
            "else, because all its trials are judged in the same way",
        ),
    ],
)
def test_a_fault_is_one_clear_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        loaded(tmp_path, **changes)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'sweep.yaml'}: ")
    assert "\n" not in str(error.value)

"""What a run writes to its disk."""

from pathlib import Path

import pytest

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import Recipe, load_recipe
from relex.memory import disk_phase, read_model, window_bytes

RECIPES = Path(__file__).parents[3] / "deployments" / "recipes"
BASE = Checkpoint(TOY_BASE)
NUM_ELEMENTS = sum(info.num_elements for info in BASE.tensors.values())


@pytest.fixture(scope="module")
def model():
    return read_model(str(TOY_BASE))


def toy(uri: str = "embedded", **training) -> Recipe:
    recipe = load_recipe(RECIPES / "toy.yaml")
    return recipe.model_copy(
        update={
            "training": recipe.training.model_copy(update=training),
            "storage": recipe.storage.model_copy(update={"uri": uri}),
        }
    )


def test_two_rolling_checkpoints_hold_masters_and_moments(model):
    parts = disk_phase(toy(), BASE, model, 1e12).parts
    assert parts["rolling checkpoints"] == 2 * 3 * 4 * NUM_ELEMENTS
    half = disk_phase(toy(master_dtype="bfloat16"), BASE, model, 1e12).parts
    assert half["rolling checkpoints"] == 2 * 3 * 2 * NUM_ELEMENTS


def test_the_spool_holds_three_snapshots_and_two_deltas(model):
    recipe = toy(snapshot_dtype="float32")
    assert disk_phase(recipe, BASE, model, 1e12).parts["spool"] == (3 + 2) * 4 * NUM_ELEMENTS


def test_a_window_on_s3_takes_no_disk(model):
    recipe = toy()
    here = disk_phase(recipe, BASE, model, 1e12).parts
    assert here["window"] == sum(window_bytes(recipe, BASE, model))
    there = disk_phase(toy(uri="s3://bucket"), BASE, model, 1e12).parts
    assert "window" not in there
    assert 2 * there["chosen model"] == here["chosen model"] == 2 * 2 * NUM_ELEMENTS

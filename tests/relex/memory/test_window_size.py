"""The size of a window from the learning rate, against deltas of AdamW's own steps."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import load_recipe
from relex.errors import ResourceError
from relex.memory import WindowForecast
from relex.memory.window_size import changed_fraction, delta_fraction, step_bytes
from relex.window.codec import write_delta
from relex.window.codec.patterns import patterns
from tests.snapshots import TensorsAtHand

RECIPES = Path(__file__).parents[3] / "deployments" / "recipes"
NUM_STEPS = 8
Delta = tuple[float, float]
"""Share of the elements that changed, and bytes over those of a snapshot."""


def deltas(
    masters: dict[str, torch.Tensor], rate: float, gradients: Iterator[None], folder: Path
) -> list[Delta]:
    """Of steps of AdamW; each of `gradients` sets those of the masters."""
    optimizer = torch.optim.AdamW(masters.values(), lr=rate, weight_decay=0)
    rounded = {name: weight.detach().bfloat16() for name, weight in masters.items()}
    num_elements = sum(weight.numel() for weight in masters.values())
    found = []
    for step, _ in zip(range(NUM_STEPS), gradients, strict=False):
        optimizer.step()
        now = {name: weight.detach().bfloat16() for name, weight in masters.items()}
        changed = sum(
            int((patterns(now[name]) != patterns(rounded[name])).sum()) for name in masters
        )
        path = folder / f"{rate}-{step}"
        write_delta(path, TensorsAtHand(now), TensorsAtHand(rounded))
        found.append((changed / num_elements, path.stat().st_size / (2 * num_elements)))
        rounded = now
    return found


def mean(deltas: list[Delta]) -> Delta:
    changed, stored = zip(*deltas, strict=True)
    return sum(changed) / len(changed), sum(stored) / len(stored)


@pytest.mark.parametrize("rate", [3e-7, 1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("gradients_agree", [True, False])
def test_the_estimate_bounds_the_deltas_of_normal_weights(tmp_path, rate, gradients_agree):
    torch.manual_seed(0)
    weight = (0.02 * torch.randn(1 << 20)).bfloat16()
    save_file({"weight": weight}, tmp_path / "model.safetensors")
    master = torch.nn.Parameter(weight.float())
    same = torch.randn_like(master)

    def gradients() -> Iterator[None]:
        while True:
            master.grad = same if gradients_agree else torch.randn_like(master)
            yield

    estimated = changed_fraction(Checkpoint(tmp_path), rate)
    changed, stored = mean(deltas({"weight": master}, rate, gradients(), tmp_path))
    assert changed <= 1.05 * estimated
    assert stored <= delta_fraction(estimated)
    # Steps that agree take most of what is estimated, others at least a tenth.
    assert changed >= (0.6 if gradients_agree else 0.1) * estimated
    assert stored >= (0.4 if gradients_agree else 0.1) * delta_fraction(estimated)


@pytest.mark.parametrize("rate", [1e-6, 1e-5, 5e-5])
def test_the_estimate_bounds_the_deltas_of_the_toy(tmp_path, rate):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(TOY_BASE, dtype=torch.float32)

    def gradients() -> Iterator[None]:
        while True:
            model.zero_grad()
            ids = torch.randint(2, 20, (32, 12))
            model(input_ids=ids, labels=ids).loss.backward()
            yield

    base = Checkpoint(TOY_BASE)
    estimated = changed_fraction(base, rate)
    changed, stored = mean(deltas(dict(model.named_parameters()), rate, gradients(), tmp_path))
    assert 0.2 * estimated <= changed <= estimated
    assert 0.2 * delta_fraction(estimated) <= stored <= delta_fraction(estimated)


def test_steps_further_apart_change_more_and_anchors_are_whole():
    recipe, base = load_recipe(RECIPES / "toy.yaml"), Checkpoint(TOY_BASE)

    def estimated(**changes) -> list[float]:
        training = recipe.training.model_copy(update={"snapshot_dtype": "bfloat16", **changes})
        return step_bytes(recipe.model_copy(update={"training": training}), base)

    num_bytes = sum(info.num_bytes for info in base.tensors.values())
    every = estimated()
    assert len(every) == 30 and len(set(every)) == 1
    few = estimated(snapshot_steps=(1, 11, 30))
    assert every[0] == few[0] < few[1] < few[2] < num_bytes
    anchored = estimated(anchor_every_steps=10)
    assert anchored[9] == anchored[19] == 0.8 * num_bytes
    assert estimated(snapshot_dtype="float32") == [2.0 * num_bytes] * 30


def test_adapters_are_stored_whole():
    recipe = load_recipe(RECIPES / "toy.yaml")
    assert step_bytes(recipe, Checkpoint(TOY_BASE), num_trained=1000) == [4000.0] * 30


def test_a_window_that_turns_out_otherwise_is_told_once():
    forecast = WindowForecast(range(1, 11), [1e9] * 10)
    notes = [forecast.stored(step, 200_000_000) for step in range(1, 5)]
    assert notes[:2] == [None, None] and notes[3] is None
    assert notes[2] == (
        "window: its first 3 steps took 0.20 times the bytes that were estimated; the rest will "
        "take about 1.40 GB"
    )


def test_a_window_as_estimated_is_not_told():
    forecast = WindowForecast(range(1, 11), [1e9] * 10)
    assert [forecast.stored(step, 900_000_000) for step in range(1, 11)] == [None] * 10
    assert forecast.bytes_to_come == 0


def test_a_disk_that_will_be_full_is_warned_of_once_and_ends_the_run_before_it_is():
    forecast = WindowForecast(range(1, 11), [1e9] * 10)
    for step in range(1, 4):
        forecast.stored(step, 2_000_000_000)
    assert forecast.check_space(14e9) is None
    warning = forecast.check_space(13e9)
    assert warning is not None
    assert "will take about 14.00 GB, and 13.00 GB are free: free some" in warning
    assert forecast.check_space(12e9) is None
    with pytest.raises(ResourceError, match=r"after step 3 only 5.90 GB are free.*goes on from"):
        forecast.check_space(5.9e9)


def test_after_a_resume_only_the_steps_of_this_attempt_are_compared():
    forecast = WindowForecast(range(1, 11), [1e9] * 10)
    forecast.stored(8, 500_000_000)
    assert forecast.factor == 0.5
    assert forecast.bytes_to_come == 1e9

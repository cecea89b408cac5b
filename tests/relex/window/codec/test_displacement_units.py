import math

import pytest
import torch

from relex.errors import WindowError
from relex.window.codec import DeltaSnapshot, TensorsAtHand
from relex.window.codec.displacement import (
    RestoredSnapshot,
    RoundedDisplacement,
    choose_units,
)

NUM_ELEMENTS = 4096


@pytest.fixture
def steps() -> list[TensorsAtHand]:
    """A bfloat16 base, and float32 masters that move along one direction and a little beside it."""
    random = torch.Generator().manual_seed(0)
    base = (torch.randn(NUM_ELEMENTS, generator=random) * 0.02).bfloat16()
    direction = torch.randn(NUM_ELEMENTS, generator=random) * 1e-6
    steps, master = [base], base.float()
    for _ in range(20):
        master = master + direction + torch.randn(NUM_ELEMENTS, generator=random) * 5e-7
        steps.append(master)
    return [TensorsAtHand({"w": step, "n": torch.arange(3)}) for step in steps]


def test_the_unit_is_a_power_of_two_near_twice_the_first_move(steps) -> None:
    first = steps[1].read("w") - steps[0].read("w").float()
    (unit,) = choose_units(steps[1], steps[0]).values()
    assert math.log2(unit).is_integer()
    assert 2**-0.5 <= unit / (2 * float(first.square().mean().sqrt())) <= 2**0.5


def test_no_step_is_off_by_more_than_half_a_unit(steps) -> None:
    base, units = steps[0], choose_units(steps[1], steps[0])
    for step in steps[1:]:
        restored = RestoredSnapshot(RoundedDisplacement(step, base, units), base, units)
        rounding_of_sums = 2 * torch.finfo(torch.float32).eps * step.read("w").abs()
        error = (restored.read("w") - step.read("w")).abs()
        assert bool((error <= units["w"] / 2 + rounding_of_sums).all())


def test_the_restored_snapshot_comes_back_from_delta_files(steps, delta_of) -> None:
    base, units = steps[0], choose_units(steps[1], steps[0])
    rounded = [RoundedDisplacement(step, base, units) for step in steps]
    at_hand = [{name: step.read(name) for name in step.tensors} for step in rounded]
    snapshot = DeltaSnapshot(delta_of("1", at_hand[1], at_hand[0]), rounded[0])
    snapshot = DeltaSnapshot(delta_of("2", at_hand[2], at_hand[1]), snapshot)
    found, expected = (RestoredSnapshot(s, base, units) for s in (snapshot, rounded[2]))
    assert torch.equal(found.read("w"), expected.read("w"))
    assert torch.equal(found.read("n"), torch.arange(3))


def test_parts_are_those_of_the_whole(steps) -> None:
    base, units = steps[0], choose_units(steps[1], steps[0])
    rounded = RoundedDisplacement(steps[5], base, units)
    assert torch.equal(rounded.read("w", 10, 20), rounded.read("w")[10:20])


def test_a_tensor_that_does_not_move_at_first_still_has_a_unit(steps) -> None:
    units = choose_units(steps[0], steps[0])
    restored = RestoredSnapshot(RoundedDisplacement(steps[3], steps[0], units), steps[0], units)
    torch.testing.assert_close(restored.read("w"), steps[3].read("w"), rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e3])
def test_what_units_cannot_hold_is_an_error(steps, value) -> None:
    units = choose_units(steps[1], steps[0])
    broken = TensorsAtHand({"w": torch.full((NUM_ELEMENTS,), value), "n": torch.arange(3)})
    with pytest.raises(WindowError, match="w: moved by more than 16777216 units"):
        RoundedDisplacement(broken, steps[0], units).read("w")

import math

import pytest
import torch

from relex.errors import WindowError
from relex.storage import open_store
from relex.window import open_window, open_writer
from relex.window.rounding import UNIT_OF_RMS, UNITS, UnmovedSnapshot, choose_units
from tests.snapshots import TensorsAtHand

STEPS = (1, 2, 4, 8, 16)


@pytest.fixture
def steps(base) -> dict[int, TensorsAtHand]:
    """Float32 masters that move along one direction and a little beside it."""
    random = torch.Generator().manual_seed(0)
    start = {name: base.read_tensor(name).float() for name in base.tensors}
    slope = {name: torch.randn(w.shape, generator=random) * 1e-6 for name, w in start.items()}

    def at(step: int) -> TensorsAtHand:
        noise = {
            name: torch.randn(w.shape, generator=random) * 2e-7 * step for name, w in start.items()
        }
        return TensorsAtHand({n: start[n] + step * slope[n] + noise[n] for n in start})

    return {step: at(step) for step in STEPS}


@pytest.fixture
def window(tmp_path, base, steps):
    writer = open_writer(open_store(str(tmp_path / "window")), base, "rounded", STEPS)
    for step, snapshot in steps.items():
        writer.append(step, snapshot)
    return open_window(str(tmp_path / "window"), base=base)


def move(window, base, step: int, name: str) -> torch.Tensor:
    return window.read(step, name) - base.read(name).float()


def test_the_weights_are_float32_in_the_shapes_of_the_base(window, base):
    assert {name: info.shape for name, info in window.tensors.items()} == {
        name: info.shape for name, info in base.tensors.items()
    }
    assert {info.dtype for info in window.tensors.values()} == {torch.float32}


def test_every_step_is_off_by_a_tenth_of_its_displacement_at_most(window, base, steps):
    """The variance of rounding is unit^2 / 12, and a unit is at most 2 x 0.3 of the rms."""
    for step, snapshot in steps.items():
        for name in base.tensors:
            true = snapshot.read(name) - base.read(name).float()
            error = (move(window, base, step, name) - true).norm() / true.norm()
            assert error < 2 * UNIT_OF_RMS / math.sqrt(12)


def test_what_does_not_move_stays_the_base(tmp_path, base):
    still = TensorsAtHand({name: base.read_tensor(name).float() for name in base.tensors})
    writer = open_writer(open_store(str(tmp_path / "window")), base, "rounded", (1, 2))
    for step in (1, 2):
        writer.append(step, still)
    window = open_window(str(tmp_path / "window"), base=base)
    assert torch.equal(window.read(2, "a.weight"), base.read("a.weight").float())


def test_units_stay_while_the_moves_per_step_keep_their_size(base, steps):
    first = choose_units(steps[1], base, 1, UnmovedSnapshot(base))
    last = TensorsAtHand({UNITS: torch.tensor(list(first.values()), dtype=torch.float64)})
    assert choose_units(steps[8], base, 8, last) == first


def test_units_follow_moves_that_become_much_smaller(base, steps):
    first = choose_units(steps[1], base, 1, UnmovedSnapshot(base))
    last = TensorsAtHand({UNITS: torch.tensor(list(first.values()), dtype=torch.float64)})
    later = choose_units(steps[1], base, 8, last)
    assert later["a.weight"] == pytest.approx(first["a.weight"] / 8)


def test_weights_that_are_not_finite_are_refused(tmp_path, base):
    weights = {name: base.read_tensor(name).float() for name in base.tensors}
    weights["b.weight"][3] = math.nan
    writer = open_writer(open_store(str(tmp_path / "window")), base, "rounded", (1,))
    with pytest.raises(WindowError, match=r"b\.weight: has values that are not finite"):
        writer.append(1, TensorsAtHand(weights))

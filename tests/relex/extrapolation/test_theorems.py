"""What must hold for any trajectory, on small random ones.

S steps, N elements.
"""

from collections.abc import Sequence

import pytest
import torch

from relex.extrapolation import Factors, predict_tensors, quality
from relex.extrapolation.factors import BASIS_FILE, TABLE_FILE
from tests.displacements import predict_displacement

SHAPES = {"model.embed_tokens.weight": (40, 30), "model.norm.weight": (30,)}
Tensors = dict[str, torch.Tensor]


def random_tensors(seed: int, scale: float = 1.0) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {n: scale * torch.randn(shape, generator=generator) for n, shape in SHAPES.items()}


def linear_trajectory(start: Tensors, steps: Sequence[int]) -> dict[int, Tensors]:
    """w(s) = w0 + (0.5 s + 3) v."""
    direction = random_tensors(7, 0.001)
    return {s: {n: start[n] + (0.5 * s + 3) * direction[n] for n in start} for s in steps}


def noisy_trajectory(start: Tensors, steps: Sequence[int]) -> dict[int, Tensors]:
    line = linear_trajectory(start, steps)
    noise = {s: random_tensors(100 + s, 0.0005) for s in steps}
    return {s: {n: line[s][n] + noise[s][n] for n in start} for s in steps}


def displacement(factors: Factors, target: int) -> torch.Tensor:
    return torch.cat([predict_displacement(factors, name, target) for name in SHAPES])


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).double().norm() / expected.double().norm())


def file_bytes(factors: Factors) -> list[bytes]:
    return [(factors.folder / name).read_bytes() for name in (TABLE_FILE, BASIS_FILE)]


def test_a_planted_line_is_recovered(lab) -> None:
    start = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    factors = lab.fit(linear_trajectory(start, range(1, 9)), lab.base(start))
    expected = torch.cat([t.view(-1) for t in linear_trajectory(start, [40])[40].values()])
    assert relative_error(displacement(factors, 40), expected) < 3e-7
    found = quality(factors.table.tensors.values())
    assert found.explained_fraction == pytest.approx(1.0, abs=1e-7)
    assert found.r2 == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("steps", [range(5, 51, 5), [1, 2, 3, 10, 31], [7, 8]])
def test_a_linear_trajectory_is_continued_whichever_steps_are_saved(lab, steps) -> None:
    start = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    base = lab.base(start)
    every = displacement(lab.fit(linear_trajectory(start, range(1, 51)), base), 200)
    some = displacement(lab.fit(linear_trajectory(start, steps), base), 200)
    assert relative_error(some, every) < 1e-6


def test_rows_on_the_time_axis_would_be_far_off(lab) -> None:
    """Steps 2, 4 .. 16 and target 20, where the published code was 26 % off."""
    start = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    factors = lab.fit(linear_trajectory(start, range(2, 17, 2)), lab.base(start))
    expected = torch.cat([t.view(-1) for t in linear_trajectory(start, [20])[20].values()])
    assert relative_error(displacement(factors, 20), expected) < 1e-6


def test_the_order_of_the_snapshots_does_not_matter(lab) -> None:
    start = random_tensors(0)
    base, snapshots = lab.base(start), noisy_trajectory(start, range(1, 9))
    shuffled = {step: snapshots[step] for step in (4, 8, 1, 3, 7, 2, 6, 5)}
    assert file_bytes(lab.fit(snapshots, base)) == file_bytes(lab.fit(shuffled, base))


def test_two_fits_are_equal_bit_for_bit(lab) -> None:
    start = random_tensors(0)
    base, snapshots = lab.base(start), noisy_trajectory(start, range(1, 9))
    assert file_bytes(lab.fit(snapshots, base)) == file_bytes(lab.fit(snapshots, base))


def test_a_small_memory_budget_gives_the_same_bits_as_a_large_one(lab) -> None:
    generator = torch.Generator().manual_seed(0)
    start = {"w": torch.randn(700_001, generator=generator)}
    snapshots = {
        s: {"w": start["w"] + 1e-3 * torch.randn(700_001, generator=generator)} for s in (1, 2, 3)
    }
    base = lab.base(start)
    whole = lab.fit(snapshots, base, rank=2)
    chunked = lab.fit(snapshots, base, rank=2, memory_bytes=1_000_000)
    assert file_bytes(whole) == file_bytes(chunked)


@pytest.mark.parametrize(("memory_bytes", "num_passes"), [(100_000_000, 1), (1_000_000, 2)])
def test_the_window_is_read_once_or_twice(lab, memory_window, memory_bytes, num_passes) -> None:
    start = {"w": torch.zeros(600_000)}
    window = memory_window({s: {"w": torch.full((600_000,), 0.1 * s)} for s in (1, 2)})
    lab.fit_window(window, lab.base(start), memory_bytes=memory_bytes)
    assert window.num_elements_read == num_passes * 2 * 600_000


def test_scaling_the_displacements_scales_the_prediction(lab) -> None:
    start = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    snapshots = noisy_trajectory(start, range(1, 9))
    quarter = {s: {n: 0.25 * t for n, t in tensors.items()} for s, tensors in snapshots.items()}
    base = lab.base(start)
    whole, part = (displacement(lab.fit(each, base), 30) for each in (snapshots, quarter))
    assert relative_error(4 * part, whole) < 1e-6


def test_moving_the_time_axis_moves_the_prediction(lab) -> None:
    start = random_tensors(0)
    base, snapshots = lab.base(start), noisy_trajectory(start, range(1, 9))
    later = {step + 1000: tensors for step, tensors in snapshots.items()}
    expected = displacement(lab.fit(snapshots, base), 30)
    assert relative_error(displacement(lab.fit(later, base), 1030), expected) < 1e-6


def test_a_rank_beyond_what_the_displacements_span_adds_nothing(lab) -> None:
    start = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    one = {name: torch.ones(shape) for name, shape in SHAPES.items()}
    snapshots = {s: {n: s * t for n, t in one.items()} for s in range(1, 6)}
    base = lab.base(start)
    factors = lab.fit(snapshots, base, rank=3)
    assert {len(fit.directions) for fit in factors.table.tensors.values()} == {1}
    assert torch.allclose(displacement(factors, 9), torch.full((1230,), 9.0), rtol=1e-6)


def test_full_rank_explains_everything(lab) -> None:
    start = random_tensors(0)
    factors = lab.fit(noisy_trajectory(start, range(1, 5)), lab.base(start), rank=4)
    found = quality(factors.table.tensors.values())
    assert found.explained_fraction == pytest.approx(1.0, abs=1e-12)


def test_the_last_coefficient_of_every_direction_is_positive(lab) -> None:
    start = random_tensors(0)
    down = {s: {n: t - 0.01 * s for n, t in start.items()} for s in (1, 2, 3)}
    factors = lab.fit(down, lab.base(start), rank=2)
    fits = factors.table.tensors.values()
    assert all(d.coefficients[-1] > 0 for fit in fits for d in fit.directions)


def test_a_tensor_that_never_moves_stays_at_base(lab) -> None:
    start = random_tensors(0) | {"still": torch.tensor([0.0, -0.0, 1.0])}
    snapshots = noisy_trajectory({n: start[n] for n in SHAPES}, [1, 2, 3])
    base = lab.base(start)
    factors = lab.fit({s: t | {"still": start["still"]} for s, t in snapshots.items()}, base)
    predicted = dict(predict_tensors(factors, base, 100))
    assert torch.equal(predicted["still"].view(torch.int32), start["still"].view(torch.int32))
    assert quality([factors.table.tensors["still"]]).explained_fraction is None


def test_buffers_of_integers_are_copied_from_the_base(lab) -> None:
    start = random_tensors(0) | {"positions": torch.arange(5)}
    snapshots = noisy_trajectory({n: start[n] for n in SHAPES}, [1, 2, 3])
    base = lab.base(start)
    factors = lab.fit(
        {s: t | {"positions": torch.zeros(5).long()} for s, t in snapshots.items()}, base
    )
    assert "positions" not in factors.table.tensors
    assert torch.equal(dict(predict_tensors(factors, base, 9))["positions"], torch.arange(5))


def test_small_float32_updates_survive(lab) -> None:
    """Updates far below the spacing of float16, where the published code lost 10 %."""
    start = {"w": torch.full((1000,), 0.02)}
    direction = torch.linspace(1e-6, 2e-6, 1000)
    snapshots = {s: {"w": start["w"] + s * direction} for s in range(1, 9)}
    factors = lab.fit(snapshots, lab.base(start))
    expected = torch.stack([snapshots[s]["w"] - start["w"] for s in snapshots]).mean(0) / 4.5 * 20
    assert relative_error(predict_displacement(factors, "w", 20), expected) < 1e-3

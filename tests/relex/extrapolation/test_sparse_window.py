"""A window that knows what moved gives the fit of the same window without that knowledge."""

import torch

from relex.extrapolation import predict_tensors
from relex.extrapolation.factors import BASIS_FILE, TABLE_FILE
from tests.displacements import predict_displacement

NUM_ELEMENTS = 300_000
STEPS = (1, 2, 4)


def trajectory(fraction: float):
    """Weights of which a fraction moves, along two directions, in bfloat16."""
    generator = torch.Generator().manual_seed(0)
    start = {
        "w": torch.randn(NUM_ELEMENTS, generator=generator).bfloat16(),
        "still": torch.ones(10).bfloat16(),
    }
    moves = torch.rand(NUM_ELEMENTS, generator=generator) < fraction
    bends = torch.rand(NUM_ELEMENTS, generator=generator) < 0.5

    def moved(step: int) -> torch.Tensor:
        move = torch.where(bends, step**2 / 32, step / 8).bfloat16()
        return torch.where(moves, start["w"] + move, start["w"])

    snapshots = {s: {"w": moved(s), "still": start["still"]} for s in STEPS}
    return start, snapshots, int(moves.sum())


def test_the_prediction_is_that_of_the_dense_window(lab) -> None:
    start, snapshots, _ = trajectory(0.1)
    base, dense = lab.base(start), lab.window(snapshots)
    from_dense = lab.fit_window(dense, base, rank=2)
    from_sparse = lab.fit_window(lab.packed(dense, base), base, rank=2)
    expected = predict_displacement(from_dense, "w", 20)
    found = predict_displacement(from_sparse, "w", 20)
    assert float((found - expected).norm() / expected.norm()) < 1e-6
    assert torch.equal(found == 0, expected == 0)


def test_an_element_that_moved_only_in_a_step_left_out_takes_no_room(lab) -> None:
    """It is back where it was, so the folder of checkpoints cannot know of it."""
    start = {"w": torch.zeros(5000).bfloat16()}
    there, back = start["w"].clone(), start["w"].clone()
    there[:10], there[20:30], back[20:30] = 1.0, 1.0, 2.0
    snapshots = {1: {"w": there}, 2: {"w": back}, 4: {"w": 2 * back}}
    base, dense = lab.base(start), lab.window(snapshots)
    for window in (dense, lab.packed(dense, base)):
        factors = lab.fit_window(window, base, steps=(2, 4))
        position_M = factors.read_span("w", 0, 5000).position_M
        assert position_M.tolist() == list(range(20, 30))


def test_no_bits_depend_on_the_budget(lab, monkeypatch) -> None:
    """One piece at a time, so the tensor is read twice; its pieces begin where they did."""
    monkeypatch.setattr("relex.window.codec.delta_writer.BLOCK_ELEMENTS", 1 << 10)
    start, snapshots, _ = trajectory(0.1)
    base = lab.base(start)
    window = lab.packed(lab.window(snapshots), base)
    once = lab.fit_window(window, base, rank=2)
    twice = lab.fit_window(window, base, rank=2, memory_bytes=1)
    for name in (TABLE_FILE, BASIS_FILE):
        assert (once.folder / name).read_bytes() == (twice.folder / name).read_bytes()


def test_a_window_in_which_nothing_moved_stays_at_base(lab) -> None:
    start, snapshots, _ = trajectory(0.0)
    base = lab.base(start)
    factors = lab.fit_window(lab.packed(lab.window(snapshots), base), base)
    predicted = dict(predict_tensors(factors, base, 20))
    assert all(torch.equal(predicted[name], start[name]) for name in start)

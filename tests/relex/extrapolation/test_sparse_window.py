"""A window that knows what moved gives the fit of the same window without that knowledge."""

import torch

from relex.extrapolation import predict_displacement, predict_tensors

NUM_ELEMENTS = 300_000
STEPS = (1, 2, 4)


class SparseMemoryWindow:
    """Snapshots in memory that are read by the elements that moved."""

    is_sparse = True
    block_elements = 1 << 10

    def __init__(self, dense, start) -> None:
        self._dense, self._start = dense, start
        self.where, self.steps, self.base_digest = dense.where, dense.steps, None
        self.tensors, self.digest = dense.tensors, dense.digest
        self.num_elements_read = 0

    def read_moved(self, steps, name, start, stop):
        value_SN = torch.stack([self._dense.read(step, name, start, stop) for step in steps])
        base_N = self._start[name][start:stop]
        position_M = (value_SN != base_N).any(0).nonzero()[:, 0]
        self.num_elements_read += len(position_M)
        return position_M, value_SN[:, position_M]


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
    from_sparse = lab.fit_window(SparseMemoryWindow(dense, start), base, rank=2)
    expected = predict_displacement(from_dense, "w", 20)
    found = predict_displacement(from_sparse, "w", 20)
    assert float((found - expected).norm() / expected.norm()) < 1e-6
    assert torch.equal(found == 0, expected == 0)


def test_only_what_moved_is_read(lab) -> None:
    start, snapshots, num_moved = trajectory(0.1)
    window = SparseMemoryWindow(lab.window(snapshots), start)
    lab.fit_window(window, lab.base(start))
    assert window.num_elements_read == num_moved


def test_a_window_in_which_nothing_moved_stays_at_base(lab) -> None:
    start, snapshots, _ = trajectory(0.0)
    base = lab.base(start)
    factors = lab.fit_window(SparseMemoryWindow(lab.window(snapshots), start), base)
    predicted = dict(predict_tensors(factors, base, 20))
    assert all(torch.equal(predicted[name], start[name]) for name in start)

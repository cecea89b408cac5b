"""A window in memory, and the weights of any point beyond it.

S steps, N elements of one tensor.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch

from relex.candidates import Candidate
from relex.checkpoints import Checkpoint
from relex.extrapolation.method import find_method, point
from relex.parts import find_part
from relex.window.layout import Kept
from relex.window.precision import patterns_of_step
from relex.window.rounding import UNITS, restored, weight_names
from tests.snapshots import TensorsAtHand

Weights = Mapping[str, torch.Tensor]


class Window:
    """Displacements from the base at the steps 1, 2, ..., and their Gram matrices."""

    def __init__(self, base: Weights, displacement: Mapping[str, torch.Tensor]) -> None:
        """`displacement` of every tensor S x N, float32; `base` with its own dtypes."""
        self._base, self._displacement = base, displacement
        self.steps = range(1, len(next(iter(displacement.values()))) + 1)
        self.gram = {name: _gram(each_SN) for name, each_SN in displacement.items()}

    def weights(self, point_: Candidate) -> dict[str, torch.Tensor]:
        """All weights of a point, rounded to the base's dtypes as a published one is."""
        return {name: self._weight(name, point_) for name in self._base}

    def _weight(self, name: str, point_: Candidate) -> torch.Tensor:
        base = self._base[name]
        if point_.is_base:
            return base
        weight_S = torch.from_numpy(self._weight_S(name, point_)).float()
        moved_N = weight_S @ self._displacement[name]
        return (base.float().flatten() + moved_N).to(base.dtype).view(base.shape)

    def _weight_S(self, name: str, point_: Candidate) -> np.ndarray:
        if point_.is_observed:
            return point(self.steps, point_.step - 1)
        if not find_part(point_.part).holds(name):
            return point(self.steps, -1)
        return _method(point_.method).weights(self.gram[name], self.steps, point_.step)


_method = cache(find_method)


def _gram(displacement_SN: torch.Tensor) -> np.ndarray:
    double_SN = displacement_SN.double()
    return (double_SN @ double_SN.T).numpy()


def read_base(base: Checkpoint) -> dict[str, torch.Tensor]:
    return {name: base.read(name).view(tuple(info.shape)) for name, info in base.tensors.items()}


def make_window(base: Weights, snapshots: list[Weights], kept: Kept) -> Window:
    """The window of float32 snapshots of the steps 1, 2, ..., kept in a precision."""
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in base}
    base_snapshot, previous = TensorsAtHand(base), None
    for step, snapshot in enumerate(snapshots, start=1):
        patterns = patterns_of_step(kept, TensorsAtHand(snapshot), base_snapshot, step, previous)
        units = {}
        if kept == "rounded":
            names = weight_names(base_snapshot.tensors)
            units = dict(zip(names, patterns.read(UNITS).tolist(), strict=True))
            previous = patterns
        for name in base:
            base_N, kept_N = base_snapshot.read(name), patterns.read(name)
            weight_N = restored(kept_N, base_N, step, units[name]) if units else kept_N.float()
            rows[name].append(weight_N - base_N.float())
    return Window(base, {name: torch.stack(row) for name, row in rows.items()})

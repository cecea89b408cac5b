"""Rounded displacements: a precision between bfloat16 and float32 snapshots.

A snapshot w at step s is kept as whole numbers n = round((w - base) / (s u)) with one unit u per
tensor, a fraction of the root mean square of (w - base) / s. Two things follow. The rounding is
relative to the displacement's own size at every step, while bfloat16 rounds each weight relative to
the weight, which hides the small first steps. And along a straight line from the base n does not
change at all, so the closer the window is to a line, the fewer bytes its deltas take.

The units are chosen again for a tensor whose moves per step have become twice as large or half as
large as they were when they were chosen, so that the error stays relative to what there is now.

What it costs, on 30 steps of the toy at rate 1e-5 (0.8 M parameters, base 1.6 MB), medians over the
tensors of more than 1,000 elements: share of a displacement's length that is lost at the last step
and at the prediction for step 120, and the fraction that rank 1 explains.

    float32     46 MB   exact   exact   0.993
    rounded    1.5 MB    0.13    0.09   0.986
    bfloat16   2.8 MB    0.26    0.25   0.905

Where steps are large, bfloat16 is the better choice: at rate 5e-5 it loses 0.06 and 0.02.

N elements of one span of a tensor.
"""

import math
from collections.abc import Mapping

import torch

from relex.checkpoints import TensorInfo
from relex.errors import WindowError
from relex.window.codec import Snapshot, block_spans

UNITS = "relex.units"
"""Name of the tensor beside the weights that holds the units, float64, in the tensors' order."""

UNIT_OF_RMS = 0.3
"""Unit over root mean square. AdamW's first step moves all elements equally far: by 3.3 units, in
the middle between two borders of rounding."""

RECHOOSE_FACTOR = 2.0
PIECE_ELEMENTS = 1 << 20
LARGEST = torch.iinfo(torch.int16).max

Units = dict[str, float]
"""By name of the tensor; 0 where it has not moved yet."""


def weight_names(tensors: Mapping[str, TensorInfo]) -> list[str]:
    """The tensors that are rounded: those of floating-point numbers."""
    return [name for name, info in tensors.items() if info.dtype.is_floating_point]


def rounded_tensors(base: Snapshot) -> dict[str, TensorInfo]:
    """Names, shapes and dtypes of a RoundedSnapshot."""
    names = weight_names(base.tensors)
    numbers = {name: TensorInfo(base.tensors[name].shape, torch.int16) for name in names}
    return {**base.tensors, **numbers, UNITS: TensorInfo((len(names),), torch.float64)}


class UnmovedSnapshot:
    """The base as it is when rounded: zeros, and no unit yet."""

    def __init__(self, base: Snapshot) -> None:
        self._base = base
        self.tensors = rounded_tensors(base)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        info = self.tensors[name]
        if name != UNITS and info == self._base.tensors[name]:
            return self._base.read(name, start, stop)
        stop = info.num_elements if stop is None else stop
        return torch.zeros(stop - start, dtype=info.dtype)


class RoundedSnapshot:
    """A snapshot as whole numbers of units from the base, and the units."""

    def __init__(self, snapshot: Snapshot, base: Snapshot, step: int, units: Units) -> None:
        self._snapshot, self._base, self._step, self._units = snapshot, base, step, units
        self.tensors = rounded_tensors(base)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        if name == UNITS:
            return torch.tensor(list(self._units.values()), dtype=torch.float64)[start:stop]
        elements_N = self._snapshot.read(name, start, stop)
        if name not in self._units:
            return elements_N
        move_N = elements_N.float() - self._base.read(name, start, stop).float()
        unit = self._units[name] * self._step
        return (move_N / unit).round().to(torch.int16) if unit else torch.zeros_like(move_N).short()


def restored(number_N: torch.Tensor, base_N: torch.Tensor, step: int, unit: float) -> torch.Tensor:
    """The float32 weights that rounded numbers stand for."""
    return base_N.float() + number_N.float() * (unit * step)


def choose_units(snapshot: Snapshot, base: Snapshot, step: int, previous: Snapshot) -> Units:
    """The units for `snapshot`: those of the previous rounded snapshot where they still fit.

    Raises WindowError when a weight is not finite.
    """
    names = weight_names(base.tensors)
    units = dict(zip(names, previous.read(UNITS).tolist(), strict=True))
    return {name: _unit(name, units[name], _moves(snapshot, base, step, name)) for name in names}


def _moves(snapshot: Snapshot, base: Snapshot, step: int, name: str) -> tuple[float, float]:
    """Root mean square and largest size of a tensor's mean move per step."""
    squares = largest = 0.0
    num_elements = base.tensors[name].num_elements
    for span in block_spans(num_elements, PIECE_ELEMENTS):
        move_N = snapshot.read(name, *span).float() - base.read(name, *span).float()
        squares += float(move_N.double().square().sum())
        largest = max(largest, float(move_N.abs().max()))
    return math.sqrt(squares / max(num_elements, 1)) / step, largest / step


def _unit(name: str, previous: float, moves: tuple[float, float]) -> float:
    rms, largest = moves
    if not math.isfinite(rms):
        raise WindowError(f"{name}: has values that are not finite")
    wanted = max(UNIT_OF_RMS * rms, largest / LARGEST)
    fits = wanted / RECHOOSE_FACTOR <= previous <= wanted * RECHOOSE_FACTOR
    return previous if fits and largest / LARGEST <= previous else wanted

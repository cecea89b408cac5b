"""Displacements in whole units: a precision between bfloat16 and float32 snapshots.

With one unit u per tensor, a snapshot w is kept as n = round((w - base) / u), which is off by u / 2
at most at any step and so cannot drift. The unit is a power of two near twice the root mean square
of the first displacement: most elements then move by less than one unit per step, so the codec
packs n well, while the displacements of a whole window are many units. bfloat16 snapshots, in
contrast, round each weight relative to its own size, which hides most of the first steps.

N elements of one span of a tensor.
"""

import math
from collections.abc import Mapping

import torch

from relex.checkpoints import TensorInfo
from relex.errors import WindowError
from relex.window.codec.snapshot import Snapshot, block_spans

UNIT_OF_FIRST_RMS = 2.0
UNIT_IF_NOT_MOVED = 2.0**-40
LARGEST_UNITS = 2**24
"""float32 holds whole numbers exactly up to here."""

PIECE_ELEMENTS = 1 << 20


def choose_units(first: Snapshot, base: Snapshot) -> dict[str, float]:
    """The unit of every floating-point tensor, from the first snapshot after the base."""
    return {
        name: _unit(_rms_displacement(first, base, name, info.num_elements))
        for name, info in base.tensors.items()
        if info.dtype.is_floating_point
    }


class RoundedDisplacement:
    """A snapshot as int32 numbers of units from the base; tensors without a unit stay as they are.

    It is what `write_delta` gets in place of the snapshot.
    """

    def __init__(self, snapshot: Snapshot, base: Snapshot, units: Mapping[str, float]) -> None:
        self._snapshot, self._base, self._units = snapshot, base, units
        self.tensors = _with_dtype(snapshot, units, torch.int32)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Raises WindowError when an element is too many units away, or not a number."""
        elements_N = self._snapshot.read(name, start, stop)
        if name not in self._units:
            return elements_N
        displacement_N = elements_N.float() - self._base.read(name, start, stop).float()
        rounded_N = (displacement_N / self._units[name]).round()
        if not bool((rounded_N.abs() <= LARGEST_UNITS).all()):
            raise WindowError(
                f"{name}: moved by more than {LARGEST_UNITS} units of {self._units[name]:.1e}, or "
                "is not finite; keep this window in float32"
            )
        return rounded_N.int()


class RestoredSnapshot:
    """The float32 snapshot that a RoundedDisplacement stands for."""

    def __init__(self, rounded: Snapshot, base: Snapshot, units: Mapping[str, float]) -> None:
        self._rounded, self._base, self._units = rounded, base, units
        self.tensors = _with_dtype(rounded, units, torch.float32)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        rounded_N = self._rounded.read(name, start, stop)
        if name not in self._units:
            return rounded_N
        return self._base.read(name, start, stop).float() + rounded_N.float() * self._units[name]


def _with_dtype(
    snapshot: Snapshot, units: Mapping[str, float], dtype: torch.dtype
) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(info.shape, dtype) if name in units else info
        for name, info in snapshot.tensors.items()
    }


def _rms_displacement(first: Snapshot, base: Snapshot, name: str, num_elements: int) -> float:
    squares = 0.0
    for span in block_spans(num_elements, PIECE_ELEMENTS):
        displacement_N = first.read(name, *span).float() - base.read(name, *span).float()
        squares += float(displacement_N.double().square().sum())
    return math.sqrt(squares / max(num_elements, 1))


def _unit(rms: float) -> float:
    if rms == 0 or not math.isfinite(rms):
        return UNIT_IF_NOT_MOVED
    return 2.0 ** round(math.log2(UNIT_OF_FIRST_RMS * rms))

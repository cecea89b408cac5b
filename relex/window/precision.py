"""What is kept of a snapshot: its bits in some dtype, or its displacement rounded.

The patterns of a snapshot are the tensors in its delta file. They are the weights themselves,
except where a window is `rounded`.
"""

from collections.abc import Mapping

import torch

from relex.checkpoints import Checkpoint, TensorInfo
from relex.window.codec import CastSnapshot, Snapshot
from relex.window.layout import Kept
from relex.window.rounding import (
    UNITS,
    RoundedSnapshot,
    UnmovedSnapshot,
    choose_units,
    weight_names,
)


def patterns_of_base(kept: Kept, base: Snapshot, schema: Mapping[str, TensorInfo]) -> Snapshot:
    """What the first step is encoded against; `schema` are the tensors of the steps' patterns."""
    if kept == "rounded":
        return UnmovedSnapshot(base)
    return CastSnapshot(base, {name: info.dtype for name, info in schema.items()})


def patterns_of_step(
    kept: Kept, snapshot: Snapshot, base: Snapshot, step: int, previous: Snapshot | None
) -> Snapshot:
    """What is encoded of a snapshot that follows the one with the patterns `previous`, if any.

    Raises WindowError when a weight that has to be rounded is not finite.
    """
    if kept == "exact":
        return snapshot
    if kept == "rounded":
        units = choose_units(snapshot, base, step, previous or UnmovedSnapshot(base))
        return RoundedSnapshot(snapshot, base, step, units)
    dtype: torch.dtype = getattr(torch, kept)
    return CastSnapshot(snapshot, dict.fromkeys(weight_names(snapshot.tensors), dtype))


def hidden_in_rounding(base: Checkpoint, kept: torch.dtype) -> bool:
    """Whether snapshots kept in that dtype cannot hold the base's own weights. A displacement is
    snapshot minus base, so it is then their rounding, many times what a step moves them."""
    return torch.promote_types(kept, base.dtype) != kept


def restored_tensors(patterns: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Names, shapes and dtypes of the weights that patterns stand for."""
    return {
        name: TensorInfo(info.shape, torch.float32) if info.dtype == torch.int16 else info
        for name, info in patterns.items()
        if name != UNITS
    }

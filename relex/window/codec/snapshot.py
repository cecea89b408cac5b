"""What the codec reads snapshots through."""

from collections.abc import Mapping
from typing import Protocol

import torch

from relex.checkpoints import TensorInfo

Span = tuple[int, int]
BEFORE = "the previous snapshot"


class Snapshot(Protocol):
    """Tensors read piece by piece: a Checkpoint, a TensorFile, or one of this package's own.

    A Protocol because the codec must not care where weights are: on disk, on a GPU, or encoded.
    """

    @property
    def tensors(self) -> Mapping[str, TensorInfo]: ...

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Elements [start, stop) of the flattened tensor `name`, in memory that the caller owns."""


class CastSnapshot:
    """A snapshot with some of its tensors in other dtypes.

    Makes a bfloat16 base the one before the first step of a float32 window.
    """

    def __init__(self, snapshot: Snapshot, dtype_of: Mapping[str, torch.dtype]) -> None:
        self._snapshot = snapshot
        self.tensors = {
            name: TensorInfo(info.shape, dtype_of.get(name, info.dtype))
            for name, info in snapshot.tensors.items()
        }

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        return self._snapshot.read(name, start, stop).to(self.tensors[name].dtype)


def block_spans(num_elements: int, block_elements: int) -> list[Span]:
    """A tensor's elements in blocks, the last one shorter; none for an empty tensor."""
    return [
        (start, min(start + block_elements, num_elements))
        for start in range(0, num_elements, block_elements)
    ]

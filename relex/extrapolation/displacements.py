"""Displacements of one tensor from the base, read from a window by several threads.

S steps, N elements of one span of a tensor.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import torch

from relex.checkpoints import Checkpoint, all_finite
from relex.errors import CheckpointError
from relex.window import Window

READ_ELEMENTS = 1 << 21
"""One read: bounds what a thread holds beside the displacements, and makes useful S3 requests."""

Span = tuple[int, int]


def spans(start: int, stop: int, num_elements: int) -> list[Span]:
    """[start, stop) in pieces of `num_elements`, the last one shorter."""
    return [(first, min(first + num_elements, stop)) for first in range(start, stop, num_elements)]


@dataclass(frozen=True)
class DisplacementReader:
    """Reads spans of any tensor at all steps of a fit."""

    window: Window
    base: Checkpoint
    steps: Sequence[int]
    device: torch.device
    threads: Executor

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """float32(snapshot) - float32(base) of elements [start, stop): S x N, on the device.

        Raises CheckpointError when the base is not finite there; snapshots are not checked.
        """
        pieces = spans(start, stop, READ_ELEMENTS)
        base_N = torch.empty(stop - start, device=self.device)
        displacement_SN = torch.empty(len(self.steps), stop - start, device=self.device)

        def read_base(piece: Span) -> None:
            here = slice(piece[0] - start, piece[1] - start)
            weights_N = self.base.read(name, *piece)
            if not all_finite(weights_N):
                raise CheckpointError(f"{self.base.folder}: {name} has values that are not finite")
            base_N[here] = weights_N

        def read_snapshots(piece: Span) -> None:
            here = slice(piece[0] - start, piece[1] - start)
            rows = self.window.rows(name, *piece, self.steps)
            for displacement_N, snapshot_N in zip(displacement_SN[:, here], rows, strict=True):
                displacement_N.copy_(snapshot_N).sub_(base_N[here])

        list(self.threads.map(read_base, pieces))
        list(self.threads.map(read_snapshots, pieces))
        return displacement_SN

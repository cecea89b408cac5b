"""Displacements of one tensor from the base, read from a window by several threads.

S steps, N elements of one span of a tensor.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import product

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

        def read_snapshot(job: tuple[int, Span]) -> None:
            row, piece = job
            here = slice(piece[0] - start, piece[1] - start)
            snapshot_N = self.window.read(self.steps[row], name, *piece)
            displacement_SN[row, here].copy_(snapshot_N).sub_(base_N[here])

        list(self.threads.map(read_base, pieces))
        list(self.threads.map(read_snapshot, product(range(len(self.steps)), pieces)))
        return displacement_SN

"""Displacements of one tensor from the base, a piece at a time.

S steps, N elements of one piece or chunk.

A piece is what one thread reads and works on. It keeps the weights as they are stored, which for
half-precision windows is half of what displacements take, and subtracts in chunks that stay in the
cache of a core. Pieces, chunks and blocks begin at fixed elements of a tensor whatever the budget
and the number of threads, so the sums over them have the same order and the same bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from relex.checkpoints import Checkpoint, all_finite
from relex.config.extrapolation import Convention
from relex.errors import CheckpointError
from relex.window import Window

BLOCK_ELEMENTS = 1 << 9
"""Elements whose products are summed in float32 before float64 takes over."""

CHUNK_ELEMENTS = 1 << 13
"""Elements subtracted at once on a CPU, to stay in its cache; a GPU takes whole pieces."""

PIECE_ELEMENTS = 1 << 18

Span = tuple[int, int]


def spans(start: int, stop: int, num_elements: int) -> list[Span]:
    """[start, stop) in pieces of `num_elements`, the last one shorter."""
    return [(first, min(first + num_elements, stop)) for first in range(start, stop, num_elements)]


@dataclass(frozen=True)
class Piece:
    """One span of a tensor at all steps and in the base, as stored.

    Padded to whole blocks with elements that do not move.
    """

    num_elements: int
    """Without the padding."""

    snapshot_SN: torch.Tensor
    base_N: torch.Tensor
    convention: Convention

    def displacements(self) -> Iterator[torch.Tensor]:
        """Chunk after chunk, S x N, float32; each lies where the one before it was."""
        num_steps, num_padded = self.snapshot_SN.shape
        device = self.base_N.device
        chunk_elements = min(CHUNK_ELEMENTS if device.type == "cpu" else num_padded, num_padded)
        scratch_SN = torch.empty(num_steps, chunk_elements, device=device)
        subtract = _SUBTRACT[self.convention]
        for first, last in spans(0, num_padded, chunk_elements):
            displacement_SN = scratch_SN[:, : last - first]
            subtract(self.snapshot_SN[:, first:last], self.base_N[first:last], displacement_SN)
            yield displacement_SN


def _subtract_exact(
    snapshot_SN: torch.Tensor, base_N: torch.Tensor, displacement_SN: torch.Tensor
) -> None:
    displacement_SN.copy_(snapshot_SN).sub_(base_N.float())


def _subtract_published(
    snapshot_SN: torch.Tensor, base_N: torch.Tensor, displacement_SN: torch.Tensor
) -> None:
    displacement_SN.copy_(snapshot_SN.half() - base_N.half())


_SUBTRACT = {"exact": _subtract_exact, "published": _subtract_published}


class PieceReader:
    """Reads pieces of any tensor of a window and its base into buffers that are used again."""

    def __init__(
        self,
        window: Window,
        base: Checkpoint,
        steps: Sequence[int],
        device: torch.device,
        convention: Convention,
    ) -> None:
        self.window, self.base, self.steps = window, base, steps
        self.device, self._convention = device, convention
        widths = [
            info.dtype.itemsize for info in [*window.tensors.values(), *base.tensors.values()]
        ]
        self.buffer_bytes = (len(steps) + 1) * PIECE_ELEMENTS * max(widths)

    def new_buffer(self) -> torch.Tensor:
        """Memory for one piece of any tensor; pinned where a GPU copies from it."""
        on_gpu = self.device.type == "cuda"
        return torch.empty(self.buffer_bytes, dtype=torch.uint8, pin_memory=on_gpu)

    def read(self, name: str, span: Span, buffer: torch.Tensor) -> Piece:
        """One span of the tensor, on the device. It lies in `buffer` where that is the CPU.

        Raises CheckpointError when the base is not finite there; snapshots are not checked.
        """
        num_elements = span[1] - span[0]
        num_padded = -(-num_elements // BLOCK_ELEMENTS) * BLOCK_ELEMENTS
        snapshot_SN, base_1N = _rows(
            buffer,
            num_padded,
            (len(self.steps), self.window.tensors[name].dtype),
            (1, self.base.tensors[name].dtype),
        )
        self.base.read_into(name, span[0], base_1N[0, :num_elements])
        if not all_finite(base_1N[0, :num_elements]):
            raise CheckpointError(f"{self.base.folder}: {name} has values that are not finite")
        self.window.read_rows(self.steps, name, span[0], snapshot_SN[:, :num_elements])
        snapshot_SN[:, num_elements:] = 0
        base_1N[:, num_elements:] = 0
        return Piece(
            num_elements,
            snapshot_SN.to(self.device, non_blocking=True),
            base_1N[0].to(self.device, non_blocking=True),
            self._convention,
        )


def _rows(
    buffer: torch.Tensor, num_elements: int, *shapes: tuple[int, torch.dtype]
) -> Iterator[torch.Tensor]:
    """One matrix after another in a buffer of bytes, each with `num_elements` columns."""
    start = 0
    for num_rows, dtype in shapes:
        stop = start + num_rows * num_elements * dtype.itemsize
        yield buffer[start:stop].view(dtype).view(num_rows, num_elements)
        start = stop

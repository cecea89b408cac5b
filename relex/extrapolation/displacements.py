"""Displacements of one tensor from the base, a piece at a time.

S steps, N elements of one piece, M of them that may have moved, R weighted sums.

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
from relex.window import SparseWindow, Window

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
    """One span of a tensor: the base, and at all steps the elements that may have moved."""

    base_N: torch.Tensor
    """As stored."""

    position_M: torch.Tensor | None
    """Where the moving elements lie in the span; None when all of them may have moved."""

    start_M: torch.Tensor
    """The moving elements in the base, padded to whole blocks."""

    snapshot_SM: torch.Tensor
    """The moving elements at every step, as stored, padded to whole blocks."""

    convention: Convention

    def combine(self, mixing_RS: torch.Tensor) -> torch.Tensor:
        """Weighted sums over the steps of the displacements: N x R, on the device of the piece.

        Summed in float32, so off by at most S u times the sum of the terms' sizes, with u = 2^-24.
        """
        mixing_RS = mixing_RS.to(self.base_N.device)
        sum_RM = torch.cat([mixing_RS @ chunk_SM for chunk_SM in self.displacements()], dim=1)
        if self.position_M is None:
            return sum_RM.T[: len(self.base_N)].contiguous()
        sum_NR = torch.zeros(len(self.base_N), len(mixing_RS), device=self.base_N.device)
        sum_NR[self.position_M] = sum_RM.T[: len(self.position_M)]
        return sum_NR

    def displacements(self) -> Iterator[torch.Tensor]:
        """Chunk after chunk, S x M, float32; each lies where the one before it was."""
        num_steps, num_padded = self.snapshot_SM.shape
        device = self.base_N.device
        chunk_elements = min(CHUNK_ELEMENTS if device.type == "cpu" else num_padded, num_padded)
        scratch_SM = torch.empty(num_steps, chunk_elements, device=device)
        subtract = _SUBTRACT[self.convention]
        for first, last in spans(0, num_padded, chunk_elements):
            displacement_SM = scratch_SM[:, : last - first]
            subtract(self.snapshot_SM[:, first:last], self.start_M[first:last], displacement_SM)
            yield displacement_SM


def _subtract_exact(
    snapshot_SM: torch.Tensor, start_M: torch.Tensor, displacement_SM: torch.Tensor
) -> None:
    displacement_SM.copy_(snapshot_SM).sub_(start_M.float())


def _subtract_published(
    snapshot_SM: torch.Tensor, start_M: torch.Tensor, displacement_SM: torch.Tensor
) -> None:
    displacement_SM.copy_(snapshot_SM.half() - start_M.half())


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
        sparse = isinstance(self.window, SparseWindow) and self.window.is_sparse
        read = self._read_moved if sparse else self._read_all
        piece = read(name, span, buffer)
        if not all_finite(piece.base_N):
            raise CheckpointError(f"{self.base.folder}: {name} has values that are not finite")
        return piece if self.device.type == "cpu" else self._on_device(piece)

    def _read_all(self, name: str, span: Span, buffer: torch.Tensor) -> Piece:
        start, num_elements = span[0], span[1] - span[0]
        snapshot_SM, start_M = self._rows(name, num_elements, buffer)
        base_N = start_M[:num_elements]
        self.base.read_into(name, start, base_N)
        self.window.read_rows(self.steps, name, start, snapshot_SM[:, :num_elements])
        return Piece(base_N, None, start_M, snapshot_SM, self._convention)

    def _read_moved(self, name: str, span: Span, buffer: torch.Tensor) -> Piece:
        assert isinstance(self.window, SparseWindow)
        position_M, value_SM = self.window.read_moved(self.steps, name, *span)
        snapshot_SM, start_M = self._rows(name, len(position_M), buffer)
        base_N = self.base.read(name, *span)
        snapshot_SM[:, : len(position_M)] = value_SM
        start_M[: len(position_M)] = base_N[position_M]
        return Piece(base_N, position_M, start_M, snapshot_SM, self._convention)

    def _rows(
        self, name: str, num_elements: int, buffer: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Room in `buffer` for snapshots and base, S x M and M, with M padded by zeros.

        At least one block, so that a piece in which nothing moved needs no care.
        """
        num_padded = max(-(-num_elements // BLOCK_ELEMENTS), 1) * BLOCK_ELEMENTS
        dtypes = self.window.tensors[name].dtype, self.base.tensors[name].dtype
        num_bytes = len(self.steps) * num_padded * dtypes[0].itemsize
        snapshot_SM = buffer[:num_bytes].view(dtypes[0]).view(-1, num_padded)
        start_M = buffer[num_bytes:][: num_padded * dtypes[1].itemsize].view(dtypes[1])
        snapshot_SM[:, num_elements:] = 0
        start_M[num_elements:] = 0
        return snapshot_SM, start_M

    def _on_device(self, piece: Piece) -> Piece:
        position_M = piece.position_M
        return Piece(
            piece.base_N.to(self.device),
            None if position_M is None else position_M.to(self.device),
            piece.start_M.to(self.device, non_blocking=True),
            piece.snapshot_SM.to(self.device, non_blocking=True),
            piece.convention,
        )

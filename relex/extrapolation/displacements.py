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
from relex.errors import CheckpointError
from relex.window import StoredWindow, Window

BLOCK_ELEMENTS = 1 << 9
"""Elements whose products are summed in float32 before float64 takes over."""

CHUNK_BYTES = {"cpu": 3 << 19, "cuda": 1 << 26}
"""Displacements made at once: on a CPU they stay in its cache, a GPU wants more to do."""

ENTRY_BYTES = 40
"""What decoding takes for each entry of a block's deltas: positions, places and moves."""

ELEMENT_BYTES = 16
"""What finding out which elements moved takes for each of a piece."""

PIECE_ELEMENTS = 1 << 18
"""Of a window that stores weights as they are; one of deltas is read by its blocks, if larger."""

ALIGNMENT = 64
"""Bytes; at which rows begin, for the processor's widest instructions."""

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

    @property
    def num_moving(self) -> int:
        return len(self.base_N if self.position_M is None else self.position_M)

    def combine(self, mixing_RS: torch.Tensor) -> torch.Tensor:
        """Weighted sums of the moving elements' displacements: R x M, float32.

        Summed in float32, so off by at most S u times the sum of the terms' sizes, with u = 2^-24.
        """
        mixing_RS = mixing_RS.to(self.base_N.device)
        sum_RM = mixing_RS.new_empty(len(mixing_RS), self.snapshot_SM.shape[1])
        first = 0
        for chunk_SM in self.displacements():
            last = first + chunk_SM.shape[1]
            torch.mm(mixing_RS, chunk_SM, out=sum_RM[:, first:last])
            first = last
        return sum_RM[:, : self.num_moving]

    def moved(self, is_moved_M: torch.Tensor) -> torch.Tensor:
        """Where those of the moving elements lie in the span that a flag names, on the CPU."""
        if self.position_M is None:
            return is_moved_M.nonzero()[:, 0].cpu()
        return self.position_M[is_moved_M].cpu()

    def displacements(self) -> Iterator[torch.Tensor]:
        """Chunk after chunk, S x M, float32."""
        num_steps, num_padded = self.snapshot_SM.shape
        block_bytes = num_steps * BLOCK_ELEMENTS * torch.float32.itemsize
        num_blocks = max(CHUNK_BYTES[self.base_N.device.type] // block_bytes, 1)
        for first, last in spans(0, num_padded, num_blocks * BLOCK_ELEMENTS):
            snapshot_SM = self.snapshot_SM[:, first:last].to(torch.float32, copy=True)
            yield snapshot_SM.sub_(self.start_M[first:last].float())


class PieceReader:
    """Reads pieces of any tensor of a window and its base into buffers that are used again."""

    def __init__(self, window: Window, base: Checkpoint, steps: Sequence[int]) -> None:
        self.window, self.base, self.steps = window, base, steps
        self.is_sparse, self.piece_elements = False, PIECE_ELEMENTS
        num_moving, num_entries = PIECE_ELEMENTS, 0
        if isinstance(window, StoredWindow):
            self.is_sparse = window.is_sparse
            blocks = -(-PIECE_ELEMENTS // window.block_elements)
            num_moving = self.piece_elements = blocks * window.block_elements
            if self.is_sparse:
                num_entries = blocks * window.most_entries(steps[-1])
                num_moving = min(num_moving, num_entries)
        widths = [
            info.dtype.itemsize for info in [*window.tensors.values(), *base.tensors.values()]
        ]
        num_padded = num_moving + BLOCK_ELEMENTS
        num_elements = self.piece_elements + (len(steps) + 1) * num_padded
        self.buffer_bytes = num_elements * max(widths) + ALIGNMENT
        """Memory for one piece of any tensor: the base, and start and all steps of what moves."""

        self._scratch_bytes = num_entries * ENTRY_BYTES + self.piece_elements * ELEMENT_BYTES

    def thread_bytes(self, device: torch.device) -> int:
        """Memory that a thread takes on the device beside the piece it works on."""
        return self._scratch_bytes + CHUNK_BYTES[device.type]

    def read(self, name: str, span: Span, buffer: torch.Tensor) -> Piece:
        """One span of the tensor, in `buffer`, which has `buffer_bytes` on a device.

        On a GPU the copies may still be under way, on the current stream. Raises CheckpointError
        when the base is not finite there; snapshots are not checked.
        """
        if self.is_sparse:
            return self._read_moved(name, span, buffer)
        on_cpu = buffer.device.type == "cpu"
        host = buffer if on_cpu else torch.empty_like(buffer, device="cpu", pin_memory=True)
        rows = self._rows(name, span[1] - span[0], host)
        self._read_base(name, span[0], rows.base_N)
        num_elements = len(rows.base_N)
        start_M, snapshot_SM = rows.of(num_elements)
        start_M[:num_elements] = rows.base_N
        self.window.read_rows(self.steps, name, span[0], snapshot_SM[:, :num_elements])
        piece = Piece(rows.base_N, None, start_M, snapshot_SM)
        return piece if on_cpu else _copied(piece, host, buffer)

    def _read_moved(self, name: str, span: Span, buffer: torch.Tensor) -> Piece:
        """Changes go to the device as they are stored; all else is computed there."""
        assert isinstance(self.window, StoredWindow)
        rows = self._rows(name, span[1] - span[0], buffer)
        on_cpu = buffer.device.type == "cpu"
        host_N = rows.base_N if on_cpu else torch.empty_like(rows.base_N, device="cpu")
        self._read_base(name, span[0], host_N)
        rows.base_N.copy_(host_N)
        moved = self.window.read_moved(self.steps, name, span[0], rows.base_N)
        num_moved = len(moved.position_M)
        start_M, snapshot_SM = rows.of(num_moved)
        start_M[:num_moved] = rows.base_N[moved.position_M]
        moved.fill(snapshot_SM[:, :num_moved])
        return Piece(rows.base_N, moved.position_M, start_M, snapshot_SM)

    def _read_base(self, name: str, start: int, base_N: torch.Tensor) -> None:
        self.base.read_into(name, start, base_N)
        if not all_finite(base_N):
            raise CheckpointError(f"{self.base.folder}: {name} has values that are not finite")

    def _rows(self, name: str, num_elements: int, host: torch.Tensor) -> "_Rows":
        dtype, num_steps = self.window.tensors[name].dtype, len(self.steps)
        info = self.base.tensors[name]
        num_bytes = num_elements * info.dtype.itemsize
        base_N = host[:num_bytes].view(info.dtype)
        return _Rows(base_N, host[-(-num_bytes // ALIGNMENT) * ALIGNMENT :], dtype, num_steps)


@dataclass(frozen=True)
class _Rows:
    """The rows of one piece in the memory of a buffer."""

    base_N: torch.Tensor
    rest: torch.Tensor
    snapshot_dtype: torch.dtype
    num_steps: int

    def of(self, num_elements: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Start (M) and snapshots (S x M) of so many elements, padded by zeros to whole blocks.

        At least one block, so that a piece in which nothing moved needs no care.
        """
        num_padded = max(-(-num_elements // BLOCK_ELEMENTS), 1) * BLOCK_ELEMENTS
        num_bytes = num_padded * self.base_N.dtype.itemsize
        start_M = self.rest[:num_bytes].view(self.base_N.dtype)
        more_bytes = self.num_steps * num_padded * self.snapshot_dtype.itemsize
        snapshot_SM = self.rest[num_bytes:][:more_bytes].view(self.snapshot_dtype)
        snapshot_SM = snapshot_SM.view(self.num_steps, num_padded)
        start_M[num_elements:] = 0
        snapshot_SM[:, num_elements:] = 0
        return start_M, snapshot_SM


def _copied(piece: Piece, host: torch.Tensor, buffer: torch.Tensor) -> Piece:
    """The piece in the memory of a GPU: one copy of all its bytes."""

    def there(tensor: torch.Tensor) -> torch.Tensor:
        first = tensor.data_ptr() - host.data_ptr()
        return buffer[first:][: tensor.nbytes].view(tensor.dtype).view(tensor.shape)

    last = piece.snapshot_SM
    num_bytes = last.data_ptr() - host.data_ptr() + last.nbytes
    buffer[:num_bytes].copy_(host[:num_bytes], non_blocking=True)
    return Piece(there(piece.base_N), None, there(piece.start_M), there(last))

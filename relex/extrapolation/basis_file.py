"""The basis of every tensor on disk: only of elements that moved.

N elements of a tensor or of one span of it, M of them that moved, B sums, K single snapshots.

`factors.safetensors` holds for every tensor `<name>`, its directions and other sums (B x M,
float32), `<name>.snapshots`, the weights of single snapshots (K x M, as the window has them), both
of the elements that moved, and `<name>.moved`, a bit for each of its N elements, the lowest bit of
a byte first, in whole words. All other elements have displacements of zero. N stands under the
tensor's name in the metadata. A window in bfloat16 moves few of its elements, so the file is
smaller than the checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from relex.checkpoints import TensorFile, TensorFileWriter, TensorInfo
from relex.errors import CheckpointError, FactorsError
from relex.storage.folder import FolderStore

BASIS_FILE = "factors.safetensors"
BITS = 8
WORD_BYTES = 8
COUNT_ELEMENTS = 1 << 20

Bits = npt.NDArray[np.uint8]
"""A bit for each element of a span, padded to whole words."""


def pack_bits(is_moved_N: npt.NDArray[np.bool_]) -> Bits:
    num_bytes = _num_bytes(len(is_moved_N))
    packed = np.packbits(is_moved_N, bitorder="little")
    return np.pad(packed, (0, num_bytes - len(packed)))


def unpack_bits(moved: Bits, num_elements: int) -> npt.NDArray[np.bool_]:
    return np.unpackbits(moved, count=num_elements, bitorder="little").view(np.bool_)


def count_bits(moved: Bits) -> int:
    return int(np.bitwise_count(moved).sum())


class BasisWriter:
    """A context manager that writes the file; spans come from any thread, in any order."""

    def __init__(self, path: Path, num_elements: Mapping[str, int]) -> None:
        """`num_elements` are those of all tensors. Raises StorageError when the disk refuses."""
        later = [key for name in num_elements for key in (_moved(name), name, _snapshots(name))]
        metadata = {name: str(number) for name, number in num_elements.items()}
        self._file = TensorFileWriter(path, {}, metadata, later)
        self._num_elements, self._num_moved = num_elements, dict[str, int]()

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        self._file.__exit__(kind, *details)

    def add(
        self, name: str, num_moved: int, num_sums: int, num_snapshots: int, dtype: torch.dtype
    ) -> None:
        """The next tensor, before its first span; `dtype` is that of its single snapshots."""
        num_bytes = _num_bytes(self._num_elements[name])
        self._num_moved[name] = num_moved
        self._file.add(_moved(name), TensorInfo((num_bytes,), torch.uint8))
        self._file.add(name, TensorInfo((num_sums, num_moved), torch.float32))
        self._file.add(_snapshots(name), TensorInfo((num_snapshots, num_moved), dtype))

    def put(
        self,
        name: str,
        span: tuple[int, int],
        position_M: torch.Tensor,
        num_moved_before: int,
        sum_BM: torch.Tensor,
        snapshot_KM: torch.Tensor,
    ) -> None:
        """A span, whose first element is the first bit of a word.

        Sums and snapshots are those of the elements that moved, which lie at `position_M` from the
        start of the span on, all on the CPU; `num_moved_before` of the tensor's lie before it.
        Raises StorageError when the disk refuses.
        """
        is_moved_N = np.zeros(span[1] - span[0], np.bool_)
        is_moved_N[position_M.numpy()] = True
        self._file.put(_moved(name), span[0] // BITS, torch.from_numpy(pack_bits(is_moved_N)))
        for key, rows in ((name, sum_BM), (_snapshots(name), snapshot_KM)):
            for row, vector_M in enumerate(rows):
                self._file.put(key, row * self._num_moved[name] + num_moved_before, vector_M)


@dataclass
class SpanOfBasis:
    """The basis of one span of a tensor, read when it is asked for."""

    file: "BasisFile"
    name: str
    position_M: torch.Tensor
    """Where the moved elements lie from the start of the span on, int64, ascending."""

    num_moved_before: int

    def sum(self, row: int) -> torch.Tensor:
        """One of the directions and other sums: M, float32."""
        return self._row(self.name, row)

    def snapshot(self, row: int, start_M: torch.Tensor) -> torch.Tensor:
        """The displacement of one of the single snapshots from the base's weights: M, float32."""
        snapshot_M = self._row(_snapshots(self.name), row)
        return snapshot_M.to(start_M.device, torch.float32) - start_M.float()

    def weights(self, row: int, start_M: torch.Tensor) -> torch.Tensor:
        """The weights of one of the single snapshots: M, in the base's dtype."""
        return self._row(_snapshots(self.name), row).to(start_M)

    def _row(self, key: str, row: int) -> torch.Tensor:
        first = row * self.file.num_moved(self.name) + self.num_moved_before
        return self.file.elements(key, first, first + len(self.position_M))


class BasisFile:
    """The written file; one tensor is read at a time, in spans."""

    def __init__(self, folder: Path) -> None:
        """Raises CheckpointError when the file is missing, truncated or not safetensors."""
        self.file = TensorFile(FolderStore(folder), BASIS_FILE)
        self._counted: tuple[str, npt.NDArray[np.int64]] = ("", np.zeros(1, np.int64))

    def num_moved(self, name: str) -> int:
        return self.file.tensors[name].shape[1]

    def elements(self, key: str, start: int, stop: int) -> torch.Tensor:
        """Elements of what is stored under `key`; raises FactorsError when the file ends early."""
        try:
            return self.file.read(key, start, stop)
        except CheckpointError as error:
            raise FactorsError(f"{error}") from error

    def read(self, name: str, start: int, stop: int) -> SpanOfBasis:
        """What moved of elements [start, stop). Raises FactorsError when the file ends early."""
        is_moved_N = self._is_moved(name, start, stop)
        return SpanOfBasis(
            self,
            name,
            torch.from_numpy(np.flatnonzero(is_moved_N)),
            self._num_moved_before(name, start),
        )

    def _is_moved(self, name: str, start: int, stop: int) -> npt.NDArray[np.bool_]:
        first = start // BITS
        moved = self.elements(_moved(name), first, -(-stop // BITS)).numpy()
        return unpack_bits(moved, stop - first * BITS)[start - first * BITS :]

    def _num_moved_before(self, name: str, start: int) -> int:
        """Counted once for each tensor, which is read span after span, maybe by several threads."""
        counted = self._counted
        if counted[0] != name:
            num_bytes = self.file.tensors[_moved(name)].num_elements
            step = COUNT_ELEMENTS // BITS
            blocks = (
                self.elements(_moved(name), first, min(first + step, num_bytes)).numpy()
                for first in range(0, num_bytes, step)
            )
            counts = np.fromiter(map(count_bits, blocks), np.int64)
            self._counted = counted = name, np.concatenate([[0], counts.cumsum()])
        block = start // COUNT_ELEMENTS
        within = self._is_moved(name, block * COUNT_ELEMENTS, start)
        return int(counted[1][block]) + int(within.sum())


def _num_bytes(num_elements: int) -> int:
    return -(-num_elements // (BITS * WORD_BYTES)) * WORD_BYTES


def _moved(name: str) -> str:
    return f"{name}.moved"


def _snapshots(name: str) -> str:
    return f"{name}.snapshots"

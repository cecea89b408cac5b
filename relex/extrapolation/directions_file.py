"""Directions on disk: only of elements that moved.

N elements of a tensor or of one span of it, M of them that moved, R directions.

`factors.safetensors` holds for every tensor `<name>`, the directions of the elements that moved
(M x R, float32; columns of zeros where the tensor has fewer than R), and `<name>.moved`, a bit for
each of its N elements, the lowest bit of a byte first, in whole words. All other elements have
directions of zero. N stands under the tensor's name in the metadata. A window in bfloat16 moves
few of its elements, so the file is smaller than the checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from relex.checkpoints import TensorFile, TensorFileWriter, TensorInfo
from relex.storage.folder import FolderStore

DIRECTIONS_FILE = "factors.safetensors"
BITS = 8
WORD_BYTES = 8
"""Words keep the floats behind them aligned."""

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


class DirectionsWriter:
    """A context manager that writes the file; spans come from any thread, in any order."""

    def __init__(self, path: Path, num_elements: Mapping[str, int], rank: int) -> None:
        """`num_elements` are those of all tensors. Raises StorageError when the disk refuses."""
        later = [stored for name in num_elements for stored in (_moved(name), name)]
        metadata = {name: str(number) for name, number in num_elements.items()}
        self._file, self._rank = TensorFileWriter(path, {}, metadata, later), rank
        self._num_elements = num_elements

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        self._file.__exit__(kind, *details)

    def add(self, name: str, num_moved: int) -> None:
        """The next tensor, before its first span."""
        num_bytes = _num_bytes(self._num_elements[name])
        self._file.add(_moved(name), TensorInfo((num_bytes,), torch.uint8))
        self._file.add(name, TensorInfo((num_moved, self._rank), torch.float32))

    def put(
        self, name: str, start: int, moved: Bits, num_moved_before: int, direction_RM: torch.Tensor
    ) -> None:
        """The span that begins at element `start`, the first bit of a word.

        `direction_RM`, on the CPU, are its elements that `moved` has, and `num_moved_before` is how
        many the tensor has before `start`. Absent directions are filled up with zeros. Raises
        StorageError when the disk refuses.
        """
        self._file.put(_moved(name), start // BITS, torch.from_numpy(moved))
        num_absent = self._rank - len(direction_RM)
        if num_absent:
            direction_RM = torch.nn.functional.pad(direction_RM, (0, 0, 0, num_absent))
        self._file.put(name, num_moved_before * self._rank, direction_RM.T)


class DirectionsFile:
    """The written file; one tensor is read at a time, in spans."""

    def __init__(self, folder: Path) -> None:
        """Raises CheckpointError when the file is missing, truncated or not safetensors."""
        self.file = TensorFile(FolderStore(folder), DIRECTIONS_FILE)
        self._counted: tuple[str, npt.NDArray[np.int64]] = ("", np.zeros(1, np.int64))

    def num_elements(self, name: str) -> int:
        return int(self.file.metadata[name])

    def read(self, name: str, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of elements [start, stop), where the moved ones lie from `start` on and their directions.

        M, int64, ascending; M x R, float32. Raises CheckpointError when the file ends early.
        """
        is_moved_N = self._is_moved(name, start, stop)
        position_M = torch.from_numpy(np.flatnonzero(is_moved_N))
        num_before = self._num_moved_before(name, start)
        rank = self.file.tensors[name].shape[1]
        first, last = num_before * rank, (num_before + len(position_M)) * rank
        return position_M, self.file.read(name, first, last).reshape(-1, rank)

    def _is_moved(self, name: str, start: int, stop: int) -> npt.NDArray[np.bool_]:
        first = start // BITS
        moved = self.file.read(_moved(name), first, -(-stop // BITS)).numpy()
        return unpack_bits(moved, stop - first * BITS)[start - first * BITS :]

    def _num_moved_before(self, name: str, start: int) -> int:
        """Counted once for each tensor, which is read span after span."""
        if self._counted[0] != name:
            num_bytes = self.file.tensors[_moved(name)].num_elements
            step = COUNT_ELEMENTS // BITS
            blocks = (
                self.file.read(_moved(name), first, min(first + step, num_bytes)).numpy()
                for first in range(0, num_bytes, step)
            )
            counts = np.fromiter(map(count_bits, blocks), np.int64)
            self._counted = name, np.concatenate([[0], counts.cumsum()])
        block = start // COUNT_ELEMENTS
        within = self._is_moved(name, block * COUNT_ELEMENTS, start)
        return int(self._counted[1][block]) + int(within.sum())


def _num_bytes(num_elements: int) -> int:
    return -(-num_elements // (BITS * WORD_BYTES)) * WORD_BYTES


def _moved(name: str) -> str:
    return f"{name}.moved"

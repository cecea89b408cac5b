"""Reads delta files: the snapshots in them, or only what changed from one to the next.

N elements of one span of a tensor, C changed elements.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from relex.checkpoints import TensorFile
from relex.errors import CheckpointError, WindowError
from relex.storage import Readable
from relex.window.codec.block import EncodedBlock, decode_block, decode_changes
from relex.window.codec.patterns import checksum, elements, patterns
from relex.window.codec.snapshot import Span, block_spans
from relex.window.codec.table import unpack_table


@dataclass(frozen=True)
class Changes:
    """The elements of a span that changed at one step, and what they are from then on."""

    position_C: torch.Tensor
    """Positions from the start of the span, ascending, int64."""

    value_C: torch.Tensor
    """New values, in the tensor's dtype."""


class DeltaFile:
    """One encoded snapshot in a store; opening it reads and checks the header only."""

    def __init__(self, store: Readable, key: str) -> None:
        """Raises WindowError when the file is missing, damaged or no delta file."""
        try:
            self._file = TensorFile(store, key)
        except CheckpointError as error:
            raise WindowError(str(error)) from error
        self.where = self._file.where
        self._table = unpack_table(self.where, self._file.metadata, self._file.tensors)
        self.tensors = {name: tensor.info for name, tensor in self._table.tensors.items()}
        self._offsets_of = {
            name: tensor.block_offsets for name, tensor in self._table.tensors.items()
        }

    @property
    def block_elements(self) -> int:
        """Elements of every block but the last of a tensor; reading whole blocks wastes nothing."""
        return self._table.block_elements

    @property
    def is_whole(self) -> bool:
        """Whether it can be read without the snapshot before: an anchor."""
        return not any(map(self.needs_previous, self.tensors))

    def needs_previous(self, name: str) -> bool:
        """Whether decoding `name` needs what it was in the snapshot before."""
        return any(kind != "whole" for kind, *_ in self._table.tensors[name].blocks)

    def num_changed(self, name: str) -> int:
        """Elements of `name` whose bits differ from the snapshot before."""
        return self._table.tensors[name].num_changed

    def blocks(self, name: str, start: int, stop: int) -> list[tuple[Span, EncodedBlock]]:
        """The blocks that overlap elements [start, stop) of `name`, in one read."""
        num_elements = self.tensors[name].num_elements
        stop = min(stop, num_elements)
        first, end = start // self.block_elements, -(-stop // self.block_elements)
        spans = [
            (index * self.block_elements, min((index + 1) * self.block_elements, num_elements))
            for index in range(first, end)
        ]
        offsets = self._offsets_of[name]
        with self._named(name):
            payload = self._file.read(name, offsets[first], offsets[end])
        data = BytesIO(payload.numpy().data)
        return [
            (span, EncodedBlock(kind, num_changed, crc32, total, tuple(map(data.read, sizes))))
            for span, (kind, num_changed, crc32, total, sizes) in zip(
                spans, self._table.tensors[name].blocks[first:end], strict=True
            )
        ]

    def decode(self, name: str, start: int, elements_N: torch.Tensor) -> None:
        """Turn elements of the snapshot before into those of this one, in place.

        `elements_N`, on the CPU and of the tensor's dtype, are those from `start` on, whole blocks
        of `name`. They are changed only when all blocks are right, so a read that failed can be
        repeated. Time follows the number of changes.

        Raises WindowError, naming file and tensor, when the file is damaged or was encoded against
        other elements.
        """
        patterns_N = patterns(elements_N)
        found = []
        with self._named(name):
            for (first, last), block in self.blocks(name, start, start + len(elements_N)):
                old_N = patterns_N[first - start : last - start]
                found.append((old_N, *decode_block(block, old_N)))
        for old_N, where, new in found:
            old_N[where] = new

    def decode_changes(self, name: str, start: int, elements_N: torch.Tensor) -> Changes:
        """As `decode`; returns what changed."""
        patterns_N = patterns(elements_N)
        positions, values = [], []
        with self._named(name):
            for (first, last), block in self.blocks(name, start, start + len(elements_N)):
                position_C, value_C = decode_changes(
                    block, patterns_N[first - start : last - start]
                )
                position_C += first - start
                positions.append(position_C)
                values.append(value_C)
        position_C = _joined(positions, np.empty(0, np.int64))
        value_C = _joined(values, patterns_N[:0])
        patterns_N[position_C] = value_C
        return Changes(torch.from_numpy(position_C), elements(value_C, elements_N.dtype))

    def check(self, name: str, start: int, elements_N: torch.Tensor) -> None:
        """Compare elements that `decode` made with the checksums of those that were encoded.

        Decoding checks what a step changes; this also what it left as it was. Once at the end of a
        replay is enough, for nothing that went wrong before mends itself without an error.

        Raises WindowError, naming file and tensor, when they differ.
        """
        block = self.block_elements
        entries = self._table.tensors[name].blocks[start // block :]
        for (first, last), entry in zip(block_spans(len(elements_N), block), entries, strict=False):
            if checksum(elements_N[first:last]) != entry[3]:
                raise WindowError(
                    f"{self.where}: {name}: does not follow from the steps before, one of them is "
                    "not the one that it was encoded against; give the right one, or train again"
                )

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Turn an error about the bytes of `name` into one that says where they are."""
        try:
            yield
        except (WindowError, CheckpointError) as error:
            raise WindowError(f"{self.where}: {name}: {error}") from error


def _joined(arrays: list[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One after the other; a fit reads one block at a time, which needs no copy."""
    return arrays[0] if len(arrays) == 1 else np.concatenate([empty, *arrays])

"""Reads delta files: what turns the snapshot before into the one in them.

N elements of one span of a tensor.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from relex.checkpoints import TensorFile
from relex.errors import CheckpointError, WindowError
from relex.storage import Readable
from relex.window.codec.block import EncodedBlock, decode_blocks, digest
from relex.window.codec.patterns import checksum, patterns
from relex.window.codec.table import unpack_table


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
        """Elements of every block but the last of a tensor, which are decoded together."""
        return self._table.block_elements

    def num_changed(self, name: str) -> int:
        """Elements of `name` whose bits differ from the snapshot before."""
        return sum(block.num_changed for block in self._table.tensors[name].blocks)

    def num_entries(self, name: str) -> list[int]:
        """By block of `name`, what decoding it makes; of one that is not sparse, its elements."""
        size, num_elements = self.block_elements, self.tensors[name].num_elements
        facts = self._table.tensors[name].blocks
        return [
            block.num_entries
            if block.kind in ("sparse", "unchanged")
            else min(size, num_elements - number * size)
            for number, block in enumerate(facts)
        ]

    def blocks(self, name: str, start: int, stop: int) -> list[EncodedBlock]:
        """The blocks of elements [start, stop) of `name`, which are whole blocks, in one read.

        Raises WindowError, naming file and tensor, when they are damaged.
        """
        size, num_elements = self.block_elements, self.tensors[name].num_elements
        first, end = start // size, -(-stop // size)
        offsets, facts = self._offsets_of[name], self._table.tensors[name].blocks
        with self.named(name):
            data = self._file.read_bytes(name, offsets[first], offsets[end])
            found = []
            for number in range(first, end):
                payload = data[
                    offsets[number] - offsets[first] : offsets[number + 1] - offsets[first]
                ]
                if digest(payload) != facts[number].digest:
                    raise WindowError("a block is damaged")
                num_here = min(size, num_elements - number * size)
                found.append(EncodedBlock(facts[number], payload, num_here))
        return found

    def decode(self, name: str, start: int, elements_N: torch.Tensor) -> None:
        """Turn elements of the snapshot before into those of this one, in place.

        `elements_N`, of the tensor's dtype, are those from `start` on, whole blocks of `name`. They
        are changed only when all blocks are right, so a read that failed can be repeated. Whether
        they were those that the step was encoded against, `check` tells.

        Raises WindowError, naming file and tensor, when the file is damaged.
        """
        pattern_N = patterns(elements_N)
        blocks = self.blocks(name, start, start + len(elements_N))
        with self.named(name):
            changes = decode_blocks(blocks, pattern_N.itemsize, pattern_N.device)
        for change, block_N in zip(
            changes, torch.split(pattern_N, self.block_elements), strict=True
        ):
            change.apply(block_N)

    def check(self, name: str, start: int, elements_N: torch.Tensor) -> None:
        """Compare elements that were decoded with the checksums of those that were encoded.

        Once at the end of a replay is enough, for nothing that went wrong before mends itself
        without an error.

        Raises WindowError, naming file and tensor, when they differ.
        """
        facts = self._table.tensors[name].blocks[start // self.block_elements :]
        for block_N, expected in zip(
            torch.split(elements_N, self.block_elements), facts, strict=False
        ):
            if checksum(block_N) != expected.checksum:
                raise WindowError(
                    f"{self.where}: {name}: does not follow from the steps before, one of them is "
                    "not the one that it was encoded against; give the right one, or train again"
                )

    @contextmanager
    def named(self, name: str) -> Iterator[None]:
        """Turn an error about the bytes of `name` into one that says where they are."""
        try:
            yield
        except (WindowError, CheckpointError) as error:
            raise WindowError(f"{self.where}: {name}: {error}") from error

"""Reads delta files: the snapshots in them, or only what changed from one to the next.

N elements of one span of a tensor.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO

import torch

from relex.checkpoints import TensorFile
from relex.errors import CheckpointError, WindowError
from relex.storage import Readable
from relex.window.codec.block import Changes, EncodedBlock, decode_block, decode_changes
from relex.window.codec.snapshot import Snapshot, Span, block_spans, check_neighbours
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

    @property
    def block_elements(self) -> int:
        """Elements of every block but the last of a tensor; reading whole blocks wastes nothing."""
        return self._table.block_elements

    @property
    def is_whole(self) -> bool:
        """Whether it can be read without the snapshot before: an anchor."""
        return all(
            kind == "whole" for tensor in self._table.tensors.values() for kind, *_ in tensor.blocks
        )

    def num_changed(self, name: str) -> int:
        """Elements of `name` whose bits differ from the snapshot before."""
        return self._table.tensors[name].num_changed

    def blocks(self, name: str, start: int, stop: int) -> list[tuple[Span, EncodedBlock]]:
        """The blocks that overlap elements [start, stop) of `name`, in one read."""
        tensor = self._table.tensors[name]
        first, end = start // self.block_elements, -(-stop // self.block_elements)
        spans = block_spans(tensor.info.num_elements, self.block_elements)[first:end]
        sizes = [sum(stream_bytes) for _, _, _, stream_bytes in tensor.blocks[:end]]
        with self.named(name):
            payload = self._file.read(name, sum(sizes[:first]), sum(sizes))
        data = BytesIO(payload.numpy().data)
        return [
            (span, EncodedBlock(kind, num_changed, crc32, tuple(map(data.read, stream_bytes))))
            for span, (kind, num_changed, crc32, stream_bytes) in zip(
                spans, tensor.blocks[first:end], strict=True
            )
        ]

    @contextmanager
    def named(self, name: str) -> Iterator[None]:
        """Turn an error about the bytes of `name` into one that says where they are."""
        try:
            yield
        except (WindowError, CheckpointError) as error:
            raise WindowError(f"{self.where}: {name}: {error}") from error


class DeltaSnapshot:
    """The snapshot in a delta file, given the one before; itself a Snapshot, decoded when read."""

    def __init__(self, delta: DeltaFile, previous: Snapshot | None = None) -> None:
        """`previous` is needed unless `delta` is whole.

        Raises WindowError when it has other tensors than `delta`.
        """
        if previous is not None:
            check_neighbours(delta.where, delta.tensors, previous.tensors)
        self._delta, self._previous = delta, previous
        self.tensors = delta.tensors

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Elements [start, stop) of the flattened tensor `name`, bit for bit, on the CPU.

        Raises WindowError, naming file and tensor, when the file is damaged or made from another
        snapshot than `previous`, and what reading that raises.
        """
        info = self.tensors[name]
        stop = info.num_elements if stop is None else stop
        if start >= stop:
            return torch.empty(0, dtype=info.dtype)
        blocks = self._delta.blocks(name, start, stop)
        first, last = blocks[0][0][0], blocks[-1][0][1]
        elements_N = self._read_previous(name, first, last, [block for _, block in blocks])
        with self._delta.named(name):
            for span, block in blocks:
                decode_block(block, elements_N[span[0] - first : span[1] - first])
        return elements_N[start - first : stop - first]

    def _read_previous(
        self, name: str, start: int, stop: int, blocks: list[EncodedBlock]
    ) -> torch.Tensor:
        """The previous elements, or any where the blocks need none."""
        if all(block.kind == "whole" for block in blocks):
            return torch.empty(stop - start, dtype=self.tensors[name].dtype)
        if self._previous is None:
            raise WindowError(f"{self._delta.where}: {name}: needs the snapshot before it")
        return self._previous.read(name, start, stop)


def replay_changes(
    deltas: Sequence[DeltaFile], name: str, first: Snapshot, start: int, stop: int
) -> Iterator[Changes]:
    """For each of `deltas`, which follow `first`, what it changes in elements [start, stop).

    Positions count from `start`. No other snapshot is made: beside the elements of `first`, memory
    and time follow the number of changes. `start` is the beginning of a block, and `stop` too, or
    the end of the tensor. Raises as `DeltaSnapshot.read`.
    """
    info = first.tensors[name]
    current_N = first.read(name, start, stop)
    for delta in deltas:
        check_neighbours(delta.where, {name: delta.tensors[name]}, {name: info})
        parts = [Changes(torch.empty(0, dtype=torch.int64), current_N[:0])]
        for span, block in delta.blocks(name, start, stop):
            offset = span[0] - start
            part_N = current_N[offset : span[1] - start]
            with delta.named(name):
                part = decode_changes(block, part_N)
            part_N[part.position_C] = part.value_C
            parts.append(Changes(part.position_C + offset, part.value_C))
        yield Changes(
            torch.cat([part.position_C for part in parts]),
            torch.cat([part.value_C for part in parts]),
        )

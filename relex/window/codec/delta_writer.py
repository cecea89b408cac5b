"""Writes a snapshot as a delta file, block after block, on several threads."""

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import torch

from relex.checkpoints import TensorFileWriter, TensorInfo
from relex.errors import StorageError
from relex.window.codec.block import EncodedBlock, encode_block
from relex.window.codec.snapshot import Snapshot, Span, block_spans, check_neighbours
from relex.window.codec.table import DeltaTable, block_entry, tensor_table

BLOCK_ELEMENTS = 1 << 18
"""The pieces in which a fit reads; four times as large would save 3 % of the bytes."""

NUM_THREADS = 4
NUM_BLOCKS_AHEAD = NUM_THREADS + 2
"""Blocks in memory at a time, with their previous elements and what encoding them needs."""

COPY_BYTES = 1 << 24

Result = TypeVar("Result")


def write_delta(path: Path, current: Snapshot, previous: Snapshot | None = None) -> None:
    """Write `current` to the new file `path`, encoded against `previous`; alone without it.

    The same snapshots give the same bytes. Memory is bounded by NUM_BLOCKS_AHEAD blocks. The file
    is not whole before this returns, and not synced to disk.

    Raises WindowError when the snapshots differ in names, shapes or dtypes, StorageError when the
    disk refuses, and what reading the snapshots raises.
    """
    schema = dict(current.tensors)
    if previous is not None:
        check_neighbours(str(path), schema, previous.tensors)
    try:
        with tempfile.TemporaryFile(dir=path.parent) as spool:
            table = _encode_into(spool, schema, current, previous)
            _assemble(path, table, spool)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error}; free some space") from error


def _encode_into(
    spool: IO[bytes], schema: Mapping[str, TensorInfo], current: Snapshot, previous: Snapshot | None
) -> DeltaTable:
    """Write the streams of all blocks to `spool`; the table says what they are."""

    def encode(name: str, span: Span) -> EncodedBlock:
        previous_N = None if previous is None else previous.read(name, *span)
        return encode_block(previous_N, current.read(name, *span))

    spans = {name: block_spans(info.num_elements, BLOCK_ELEMENTS) for name, info in schema.items()}
    jobs = (partial(encode, name, span) for name in schema for span in spans[name])
    tables = {}
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        encoded = _in_order(threads, jobs)
        for name, info in schema.items():
            entries = []
            for _ in spans[name]:
                block = next(encoded)
                spool.writelines(block.streams)
                entries.append(block_entry(block))
            tables[name] = tensor_table(info, entries)
    return DeltaTable(block_elements=BLOCK_ELEMENTS, tensors=tables)


def _in_order(
    threads: ThreadPoolExecutor, jobs: Iterable[Callable[[], Result]]
) -> Iterator[Result]:
    """The results of `jobs` in their order; at most NUM_BLOCKS_AHEAD are under way."""
    pending: deque[Future[Result]] = deque()
    for job in jobs:
        pending.append(threads.submit(job))
        if len(pending) == NUM_BLOCKS_AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _assemble(path: Path, table: DeltaTable, spool: IO[bytes]) -> None:
    """Put the header, whose length is known only now, before the streams."""
    schema = {
        name: TensorInfo((tensor.block_offsets[-1],), torch.uint8)
        for name, tensor in table.tensors.items()
    }
    spool.seek(0)
    with TensorFileWriter(path, schema, table.pack()) as writer:
        for name, info in schema.items():
            for start, stop in block_spans(info.num_bytes, COPY_BYTES):
                data = bytearray(spool.read(stop - start))
                writer.append(name, torch.frombuffer(data, dtype=torch.uint8))

"""Writes a snapshot as a delta file, block after block.

On one thread: a block is encoded in many small steps, most of which need the interpreter, and
several threads, torch's own among them, take longer than one.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch

from relex.checkpoints import TensorFileWriter, TensorInfo, check_same_tensors
from relex.checkpoints.tensor_file import DTYPE_NAMES
from relex.errors import StorageError, WindowError
from relex.window.codec.block import encode_block
from relex.window.codec.snapshot import BEFORE, Snapshot, block_spans
from relex.window.codec.table import DeltaTable, TensorTable

BLOCK_ELEMENTS = 1 << 20
"""A quarter of it takes 3 % more bytes, and four times the calls where few elements changed."""

COPY_BYTES = 1 << 24


def write_delta(path: Path, current: Snapshot, previous: Snapshot | None = None) -> None:
    """Write `current` to the new file `path`, encoded against `previous`; alone without it.

    The same snapshots give the same bytes. Memory is bounded by one block. The file
    is not whole before this returns, and not synced to disk.

    Raises WindowError when the snapshots differ in names, shapes or dtypes, StorageError when the
    disk refuses, and what reading the snapshots raises.
    """
    schema = dict(current.tensors)
    if previous is not None:
        check_same_tensors(
            str(path), schema, previous.tensors, BEFORE, dtypes_too=True, error=WindowError
        )
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

    tables = {}
    with _one_torch_thread():
        for name, info in schema.items():
            entries = []
            for span in block_spans(info.num_elements, BLOCK_ELEMENTS):
                previous_N = None if previous is None else previous.read(name, *span)
                block = encode_block(previous_N, current.read(name, *span))
                spool.write(block.payload)
                entries.append(block.facts)
            dtype = DTYPE_NAMES[info.dtype]
            tables[name] = TensorTable(dtype=dtype, shape=info.shape, blocks=tuple(entries))
    return DeltaTable(block_elements=BLOCK_ELEMENTS, tensors=tables)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


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

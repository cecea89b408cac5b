"""Safetensors files written piece by piece, in any order and from any thread."""

import json
import math
import os
from collections.abc import Collection, Mapping
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Self

import torch

from relex.checkpoints.raw_bytes import raw_bytes
from relex.checkpoints.tensor_file import DTYPE_NAMES, HEADER_LENGTH, TensorInfo
from relex.errors import CheckpointError, StorageError

HEADER_ALIGNMENT = 8
PIECE_ELEMENTS = 1 << 22
"""Cast and copied to the CPU at a time, so that memory does not follow the largest tensor."""

WIDEST = TensorInfo((10**18, 10**18), torch.bfloat16)
"""No matrix takes more room in a header."""


class TensorFileWriter:
    """A safetensors file that is filled piece by piece, in any order and from any thread.

    Use it as a context manager; leaving it checks that every tensor is whole.
    """

    def __init__(
        self,
        path: Path,
        schema: Mapping[str, TensorInfo],
        metadata: Mapping[str, str],
        later: Collection[str] = (),
    ) -> None:
        """Create the file and write its header; raises StorageError when the disk refuses.

        `later` are names that `add` may bring; the header keeps room for them.
        """
        self._path, self._schema, self._metadata = path, dict(schema), metadata
        self._num_written = dict.fromkeys(schema, 0)
        self._lock = Lock()
        self._room_bytes = 0
        if later:
            widest = dict.fromkeys([*schema, *later], WIDEST)
            self._room_bytes = len(_header(widest, metadata, 0))
        header = _header(self._schema, metadata, self._room_bytes)
        self._starts = _starts(schema, len(header))
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._write(0, memoryview(header))
        except StorageError:
            self._file.close()
            raise

    def add(self, name: str, info: TensorInfo) -> None:
        """A tensor of `later`, behind all others; not while another thread adds one."""
        last = next(reversed(self._schema), None)
        start = self._room_bytes if last is None else self._end(last)
        self._schema[name], self._starts[name], self._num_written[name] = info, start, 0

    def _end(self, name: str) -> int:
        return self._starts[name] + self._schema[name].num_bytes

    def append(self, name: str, elements: torch.Tensor) -> None:
        """Write the elements of `name` that follow those written so far; raises as `put`."""
        self.put(name, self._num_written[name], elements)

    def put(self, name: str, start: int, elements: torch.Tensor) -> None:
        """Write the elements of `name` from position `start` on, cast to its dtype in the schema.

        Every element must be written once. Raises CheckpointError when they end beyond the tensor
        or are not finite, StorageError when the disk refuses.
        """
        info = self._schema[name]
        if start + elements.numel() > info.num_elements:
            raise CheckpointError(
                f"{self._path}: {name} has {info.num_elements} elements, got more"
            )
        for piece in torch.split(elements.detach().reshape(-1), PIECE_ELEMENTS):
            # On a GPU the cast and the check are made there: fewer bytes travel.
            self._put(name, start, piece.to(info.dtype).contiguous())
            start += piece.numel()

    def _put(self, name: str, start: int, piece: torch.Tensor) -> None:
        info = self._schema[name]
        if not all_finite(piece):
            raise CheckpointError(
                f"{self._path}: {name} has values that are not finite in {info.dtype}"
            )
        data = raw_bytes(piece.cpu()).numpy().data
        self._write(self._starts[name] + start * info.dtype.itemsize, data)
        with self._lock:
            self._num_written[name] += piece.numel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._room_bytes:
                self._write(0, memoryview(_header(self._schema, self._metadata, self._room_bytes)))
        finally:
            self._close()
        if kind is None:
            self._check_whole()

    def _close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise self._unwritable(error) from error

    def _check_whole(self) -> None:
        for name, info in self._schema.items():
            if self._num_written[name] != info.num_elements:
                raise CheckpointError(
                    f"{self._path}: {name} got {self._num_written[name]} of its "
                    f"{info.num_elements} elements"
                )

    def _write(self, start: int, data: memoryview) -> None:
        try:
            while data:
                num_bytes = os.pwrite(self._file.fileno(), data, start)
                data, start = data[num_bytes:], start + num_bytes
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(f"{self._path}: cannot be written: {error.strerror}; free some space")


def all_finite(elements: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite; True for integers."""
    if not elements.is_floating_point() or elements.numel() == 0:
        return True
    if elements.dtype.itemsize == 1:  # torch cannot order 8-bit floats
        elements = elements.float()
    # One pass without temporaries, ten times as fast as isfinite().all(); NaN propagates.
    least, greatest = torch.aminmax(elements)
    return math.isfinite(least.item()) and math.isfinite(greatest.item())


def _starts(schema: Mapping[str, TensorInfo], first: int) -> dict[str, int]:
    """Byte at which each tensor begins, when they follow each other from byte `first` on."""
    ends = accumulate((info.num_bytes for info in schema.values()), initial=first)
    return dict(zip(schema, ends, strict=False))


def _header(
    schema: Mapping[str, TensorInfo], metadata: Mapping[str, str], room_bytes: int
) -> bytes:
    """The header of the tensors in order, filled up to `room_bytes` where it is shorter."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    for name, start in _starts(schema, 0).items():
        header[name] = {
            "dtype": DTYPE_NAMES[schema[name].dtype],
            "shape": list(schema[name].shape),
            "data_offsets": [start, start + schema[name].num_bytes],
        }
    data = json.dumps(header, separators=(",", ":")).encode()
    data += b" " * (-len(data) % HEADER_ALIGNMENT)
    data = data.ljust(room_bytes - HEADER_LENGTH.size)
    return HEADER_LENGTH.pack(len(data)) + data

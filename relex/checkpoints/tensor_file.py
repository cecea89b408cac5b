"""Safetensors files read piece by piece from a folder or a store.

The format: eight bytes of little-endian header length, a JSON header with dtype, shape and byte
range of every tensor, then the bytes, each tensor contiguous. Reading byte ranges of it is what
lets a fit stream any part of any tensor from S3 without a copy of the file.
"""

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from relex.checkpoints.raw_bytes import raw_bytes
from relex.errors import CheckpointError
from relex.storage import Readable
from relex.storage.folder import FolderStore

HEADER_LENGTH = struct.Struct("<Q")
LARGEST_HEADER_BYTES = 100_000_000

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class TensorInfo:
    """Shape and dtype of a stored tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        """`float32[7]`"""
        return f"{str(self.dtype).removeprefix('torch.')}{list(self.shape)}"

    @property
    def num_elements(self) -> int:
        return prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.num_elements * self.dtype.itemsize


class TensorFile:
    """One safetensors file in a store; opening it reads and checks the header only."""

    def __init__(self, store: Readable, key: str) -> None:
        """Raises CheckpointError when the file is missing, truncated or not safetensors."""
        self.where = f"{store.uri}/{key}"
        self._store, self._key = store, key
        size = store.size(key)
        if size is None:
            raise CheckpointError(f"{self.where}: is missing")
        if size < HEADER_LENGTH.size:
            raise CheckpointError(f"{self.where}: {size} bytes are no safetensors file")
        (header_bytes,) = HEADER_LENGTH.unpack(store.read(key, 0, HEADER_LENGTH.size))
        self._data_start = HEADER_LENGTH.size + header_bytes
        if header_bytes > LARGEST_HEADER_BYTES or self._data_start > size:
            raise CheckpointError(f"{self.where}: truncated or not a safetensors file")
        header = self._parse(store.read(key, HEADER_LENGTH.size, self._data_start))
        self.metadata: dict[str, Any] = header.pop("__metadata__", {})
        self.tensors: dict[str, TensorInfo] = {}
        self._starts: dict[str, int] = {}
        for name, entry in header.items():
            self._add(name, entry)
        self._check_layout(size)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Elements [start, stop) of the flattened tensor `name`, in its own dtype, on the CPU."""
        info = self.tensors[name]
        stop = info.num_elements if stop is None else stop
        out = torch.empty(max(stop - start, 0), dtype=info.dtype)
        self.read_into(name, start, out)
        return out

    def read_into(self, name: str, start: int, out: torch.Tensor) -> None:
        """Fill `out`, flat and of the tensor's dtype, with its elements from `start` on."""
        if out.numel() == 0:
            return
        self._fill(name, start * out.itemsize, raw_bytes(out).numpy().data)

    def read_bytes(self, name: str, start: int, stop: int) -> memoryview:
        """Bytes [start, stop) of the tensor `name`."""
        data = memoryview(bytearray(stop - start))
        self._fill(name, start, data)
        return data

    def _fill(self, name: str, start: int, data: memoryview) -> None:
        first = self._data_start + self._starts[name] + start
        if self._store.read_into(self._key, first, data) != len(data):
            raise CheckpointError(f"{self.where}: {name} ends early; copy the file again")

    def read_tensor(self, name: str) -> torch.Tensor:
        """The whole tensor in its shape."""
        return self.read(name).reshape(self.tensors[name].shape)

    def _parse(self, data: bytes) -> dict[str, Any]:
        try:
            header = json.loads(data)
        except ValueError as error:
            raise CheckpointError(f"{self.where}: header is not JSON ({error})") from error
        if not isinstance(header, dict):
            raise CheckpointError(f"{self.where}: header is not a JSON object")
        return header

    def _add(self, name: str, entry: Any) -> None:
        try:
            dtype = DTYPES[entry["dtype"]]
            shape = tuple(int(size) for size in entry["shape"])
            start, stop = (int(offset) for offset in entry["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.where}: tensor {name}: cannot be described by {entry!r}; "
                f"supported dtypes are {', '.join(DTYPES)}"
            ) from error
        self.tensors[name] = info = TensorInfo(shape, dtype)
        self._starts[name] = start
        if stop - start != info.num_bytes:
            raise CheckpointError(
                f"{self.where}: tensor {name}: shape {list(shape)} of {entry['dtype']} needs "
                f"{info.num_bytes} bytes, its range has {stop - start}"
            )

    def _check_layout(self, size_bytes: int) -> None:
        """The tensors follow each other without gap or overlap up to the end of the file."""
        end = 0
        for start, num_bytes in sorted(
            (start, self.tensors[name].num_bytes) for name, start in self._starts.items()
        ):
            if start != end:
                raise CheckpointError(
                    f"{self.where}: damaged: a tensor begins at byte {start} of the data, "
                    f"the one before it ends at {end}"
                )
            end += num_bytes
        if size_bytes != self._data_start + end:
            raise CheckpointError(
                f"{self.where}: truncated or damaged: its header asks for {self._data_start + end} "
                f"bytes, the file has {size_bytes}; copy it again"
            )


def open_tensor_file(path: Path) -> TensorFile:
    return TensorFile(FolderStore(path.parent), path.name)

"""Checkpoints written piece by piece, in the files, order and dtypes of the base."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Self

import torch

from relex.atomic import new_folder
from relex.checkpoints.reader import INDEX_FILE, Checkpoint
from relex.checkpoints.tensor_file import DTYPE_NAMES, HEADER_LENGTH, TensorInfo
from relex.errors import CheckpointError, StorageError
from relex.manifest import MANIFEST

HEADER_ALIGNMENT = 8
PIECE_ELEMENTS = 1 << 22
"""Cast and copied to the CPU at a time, so that memory does not follow the largest tensor."""

COMPANION_SUFFIXES = {".json", ".txt", ".model", ".jinja", ".tiktoken", ".py"}
NOT_COMPANIONS = {INDEX_FILE, MANIFEST}
HF_METADATA = {"format": "pt"}
NamedTensor = tuple[str, torch.Tensor]


def write_checkpoint(out: Path, base: Checkpoint, tensors: Iterator[NamedTensor]) -> None:
    """Write `tensors` as a checkpoint like `base`: same shards, dtypes and companion files.

    `tensors` must come in the order of `base.tensors`; each is cast to the base's dtype. At most
    one tensor is held at a time. `out` appears when it is whole.

    Raises InputError when `out` exists, CheckpointError when a tensor is missing, surplus, of
    another shape or not finite, StorageError when the disk refuses.
    """
    with new_folder(out) as partial:
        for shard, file in base.shards.items():
            write_tensor_file(partial / shard, file.tensors, tensors, HF_METADATA)
        surplus = next(tensors, None)
        if surplus is not None:
            raise CheckpointError(f"{out}: tensor {surplus[0]} is not one of the base's")
        _copy_rest(base, partial)


Fill = Callable[[str, int, torch.Tensor], None]
"""Called with a tensor's name, the position of its first element here, and the elements."""


@contextmanager
def fill_checkpoint(out: Path, base: Checkpoint) -> Iterator[Fill]:
    """As `write_checkpoint`, for tensors that come in pieces, in any order and from any thread."""
    with new_folder(out) as partial:
        with ExitStack() as files:
            writer_of = {}
            for shard, file in base.shards.items():
                writer = TensorFileWriter(partial / shard, file.tensors, HF_METADATA)
                writer_of.update(dict.fromkeys(file.tensors, files.enter_context(writer)))
            yield lambda name, start, elements: writer_of[name].put(name, start, elements)
        _copy_rest(base, partial)


def write_tensor_file(
    path: Path,
    schema: Mapping[str, TensorInfo],
    tensors: Iterator[NamedTensor],
    metadata: Mapping[str, str],
) -> None:
    """Write a safetensors file with the tensors of `schema`, taken from `tensors` in that order.

    Takes no more of `tensors` than `schema` has. Raises as `write_checkpoint`.
    """
    with TensorFileWriter(path, schema, metadata) as writer:
        for name, info in schema.items():
            found, tensor = next(tensors, (None, torch.empty(0)))
            if found != name:
                raise CheckpointError(f"{path}: expected tensor {name} next, found {found}")
            if tuple(tensor.shape) != info.shape:
                raise CheckpointError(
                    f"{path}: {name} has shape {list(tensor.shape)}, expected {list(info.shape)}"
                )
            writer.append(name, tensor)


class TensorFileWriter:
    """A safetensors file that is filled piece by piece, in any order and from any thread.

    Use it as a context manager; leaving it checks that every tensor is whole.
    """

    def __init__(
        self, path: Path, schema: Mapping[str, TensorInfo], metadata: Mapping[str, str]
    ) -> None:
        """Create the file and write its header; raises StorageError when the disk refuses."""
        self._path, self._schema = path, schema
        self._num_written = dict.fromkeys(schema, 0)
        self._lock = Lock()
        header = _header(schema, metadata)
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
            self._put(name, start, piece.to(device="cpu", dtype=info.dtype).contiguous())
            start += piece.numel()

    def _put(self, name: str, start: int, piece: torch.Tensor) -> None:
        info = self._schema[name]
        if not all_finite(piece):
            raise CheckpointError(
                f"{self._path}: {name} has values that are not finite in {info.dtype}"
            )
        data = piece.view(torch.uint8).numpy().data
        self._write(self._starts[name] + start * info.dtype.itemsize, data)
        with self._lock:
            self._num_written[name] += piece.numel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise self._unwritable(error) from error
        if kind is None:
            self._check_whole()

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


def copy_companions(source: Path, target: Path) -> None:
    """Copy config, tokenizer and the like: everything small that is not weights."""
    for path in sorted(source.iterdir()):
        if path.suffix in COMPANION_SUFFIXES and path.name not in NOT_COMPANIONS and path.is_file():
            _copy(path, target)


def _copy_rest(base: Checkpoint, folder: Path) -> None:
    """All files of the base but the weights."""
    copy_companions(base.folder, folder)
    if (base.folder / INDEX_FILE).is_file():
        _copy(base.folder / INDEX_FILE, folder)


def _copy(path: Path, folder: Path) -> None:
    try:
        shutil.copyfile(path, folder / path.name)
    except OSError as error:
        raise StorageError(f"{path}: cannot be copied to {folder}: {error.strerror}") from error


def _starts(schema: Mapping[str, TensorInfo], first: int) -> dict[str, int]:
    """Byte at which each tensor begins, when they follow each other from byte `first` on."""
    ends = accumulate((info.num_bytes for info in schema.values()), initial=first)
    return dict(zip(schema, ends, strict=False))


def _header(schema: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    for name, start in _starts(schema, 0).items():
        header[name] = {
            "dtype": DTYPE_NAMES[schema[name].dtype],
            "shape": list(schema[name].shape),
            "data_offsets": [start, start + schema[name].num_bytes],
        }
    data = json.dumps(header, separators=(",", ":")).encode()
    data += b" " * (-len(data) % HEADER_ALIGNMENT)
    return HEADER_LENGTH.pack(len(data)) + data

"""Checkpoints written piece by piece, in the files, order and dtypes of the base."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from relex.checkpoints.reader import Checkpoint
from relex.checkpoints.tensor_file import TensorInfo
from relex.checkpoints.tensor_writer import TensorFileWriter
from relex.checkpoints.weight_files import INDEX_FILE
from relex.errors import CheckpointError, StorageError
from relex.storage.atomic import new_folder
from relex.storage.manifest import MANIFEST

COMPANION_SUFFIXES = {".json", ".txt", ".model", ".jinja", ".tiktoken", ".py"}
NOT_COMPANIONS = {INDEX_FILE, MANIFEST}
HF_METADATA = {"format": "pt"}
NamedTensor = tuple[str, torch.Tensor]


def write_checkpoint(
    out: Path, base: Checkpoint, tensors: Iterator[NamedTensor], origin: Mapping[str, str] = {}
) -> None:
    """Write `tensors` as a checkpoint like `base`: same shards, dtypes and companion files.

    `tensors` must come in the order of `base.tensors`; each is cast to the base's dtype. At most
    one tensor is held at a time. `out` appears when it is whole. `origin` goes into the header of
    every file of weights, and says where these come from.

    Raises InputError when `out` exists, CheckpointError when a tensor is missing, surplus, of
    another shape or not finite, StorageError when the disk refuses.
    """
    with new_folder(out) as partial:
        for shard, file in base.shards.items():
            write_tensor_file(partial / shard, file.tensors, tensors, {**origin, **HF_METADATA})
        surplus = next(tensors, None)
        if surplus is not None:
            raise CheckpointError(f"{out}: tensor {surplus[0]} is not one of the base's")
        _copy_rest(base, partial)


Fill = Callable[[str, int, torch.Tensor], None]
"""Called with a tensor's name, the position of its first element here, and the elements."""


@contextmanager
def fill_checkpoint(out: Path, base: Checkpoint, origin: Mapping[str, str] = {}) -> Iterator[Fill]:
    """As `write_checkpoint`, for tensors that come in pieces, in any order and from any thread."""
    with new_folder(out) as partial:
        with ExitStack() as files:
            writer_of = {}
            for shard, file in base.shards.items():
                metadata = {**origin, **HF_METADATA}
                writer = TensorFileWriter(partial / shard, file.tensors, metadata)
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

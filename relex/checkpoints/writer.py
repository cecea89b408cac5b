"""Checkpoints written tensor by tensor, in the files, order and dtypes of the base."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch

from relex.atomic import new_folder
from relex.checkpoints.reader import INDEX_FILE, Checkpoint
from relex.checkpoints.tensor_file import DTYPE_NAMES, HEADER_LENGTH, TensorInfo
from relex.errors import CheckpointError

HEADER_ALIGNMENT = 8
COMPANION_SUFFIXES = {".json", ".txt", ".model", ".jinja", ".tiktoken", ".py"}
NamedTensor = tuple[str, torch.Tensor]


def write_checkpoint(out: Path, base: Checkpoint, tensors: Iterator[NamedTensor]) -> None:
    """Write `tensors` as a checkpoint like `base`: same shards, dtypes and companion files.

    `tensors` must come in the order of `base.tensors`; each is cast to the base's dtype. At most
    one tensor is held at a time. `out` appears when it is whole.

    Raises InputError when `out` exists, CheckpointError when a tensor is missing, of another shape,
    or not finite.
    """
    with new_folder(out) as partial:
        for shard, file in base.shards.items():
            write_tensor_file(partial / shard, file.tensors, tensors, {"format": "pt"})
        copy_companions(base.folder, partial)
        if (base.folder / INDEX_FILE).is_file():
            shutil.copyfile(base.folder / INDEX_FILE, partial / INDEX_FILE)


def write_tensor_file(
    path: Path,
    schema: dict[str, TensorInfo],
    tensors: Iterator[NamedTensor],
    metadata: dict[str, str],
) -> None:
    """Write a safetensors file with the tensors of `schema`, taken from `tensors` in that order."""
    with path.open("wb") as file:
        file.write(_header(schema, metadata))
        for name, info in schema.items():
            found, tensor = next(tensors, (None, torch.empty(0)))
            if found != name:
                raise CheckpointError(f"{path}: expected tensor {name} next, found {found}")
            _write_tensor(file, name, info, tensor)


def copy_companions(source: Path, target: Path) -> None:
    """Copy config, tokenizer and the like: everything small that is not weights."""
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix in COMPANION_SUFFIXES and path.name != INDEX_FILE:
            shutil.copyfile(path, target / path.name)


def _header(schema: dict[str, TensorInfo], metadata: dict[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": metadata}
    offset = 0
    for name, info in schema.items():
        header[name] = {
            "dtype": DTYPE_NAMES[info.dtype],
            "shape": list(info.shape),
            "data_offsets": [offset, offset + info.num_bytes],
        }
        offset += info.num_bytes
    data = json.dumps(header, separators=(",", ":")).encode()
    data += b" " * (-len(data) % HEADER_ALIGNMENT)
    return HEADER_LENGTH.pack(len(data)) + data


def _write_tensor(file: BinaryIO, name: str, info: TensorInfo, tensor: torch.Tensor) -> None:
    if tuple(tensor.shape) != info.shape:
        raise CheckpointError(f"{name}: has shape {list(tensor.shape)}, expected {list(info.shape)}")
    tensor = tensor.detach().to(device="cpu", dtype=info.dtype).contiguous()
    if info.dtype.is_floating_point and not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(f"{name}: has values that are not finite in {info.dtype}")
    file.write(tensor.view(-1).view(torch.uint8).numpy().data)

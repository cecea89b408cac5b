"""The weights that every process of an FSDP training saved for itself with `torch.save`.

verl and SkyRL write them: `model_world_size_W_rank_R.pt`, a state dict of DTensors that are split
by rows, beside tensors that every process has whole. With one process all are plain.
"""

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor, Shard

from relex.checkpoints import TensorInfo
from relex.errors import WindowError
from relex.window.trainers.places import SHARD

NUMBERS = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")


class Shards(Mapping[str, torch.Tensor]):
    """The joined tensors by name; each is put together when it is asked for."""

    def __init__(self, folder: Path) -> None:
        """Map all files into memory.

        Raises WindowError when one is missing or holds more than tensors, or the processes differ
        in their tensors.
        """
        self._where = str(folder)
        self._states = [_tensors(path) for path in _files(folder)]
        for state in self._states:
            if state.keys() != self._states[0].keys():
                raise WindowError(f"{folder}: the processes saved different tensors")
        self.schema = {name: self._info(name) for name in self._states[0]}

    def __getitem__(self, name: str) -> torch.Tensor:
        parts, dimension = self._parts(name)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dimension)

    def __iter__(self) -> Iterator[str]:
        return iter(self.schema)

    def __len__(self) -> int:
        return len(self.schema)

    def _info(self, name: str) -> TensorInfo:
        first, (parts, dimension) = self._states[0][name], self._parts(name)
        shape = list(parts[0].shape)
        if len(parts) > 1:
            shape[dimension] = sum(part.shape[dimension] for part in parts)
        if isinstance(first, DTensor) and shape != list(first.shape):
            raise WindowError(
                f"{self._where}: {name}: the processes have {shape} of {list(first.shape)}"
            )
        return TensorInfo(tuple(shape), first.dtype)

    def _parts(self, name: str) -> tuple[list[torch.Tensor], int]:
        """What has to be joined, and along which dimension."""
        values = [state[name] for state in self._states]
        first = values[0]
        if not isinstance(first, DTensor):
            # Whole in every process, or split by rows in the oldest form.
            is_whole = all(torch.equal(value, first) for value in values[1:])
            return values[:1] if is_whole else values, 0
        *outer, inner = first.placements
        if all(placement.is_replicate() for placement in first.placements):
            return [first.to_local()], 0
        if type(inner) is not Shard or any(not placement.is_replicate() for placement in outer):
            raise WindowError(
                f"{self._where}: {name} is split as {first.placements}, not by FSDP alone; let the "
                "trainer merge its shards"
            )
        # Other rows of the mesh are replicas (HSDP).
        ranks = first.device_mesh.mesh.reshape(-1, first.device_mesh.mesh.shape[-1])[0]
        return [values[rank].to_local() for rank in ranks.tolist()], inner.dim


def _files(folder: Path) -> list[Path]:
    """By rank; raises WindowError when one is missing."""
    found = [path for path in folder.iterdir() if SHARD.fullmatch(path.name)]
    by_rank, sizes = {}, set()
    for path in found:
        size, rank = map(int, match.groups()) if (match := NUMBERS.fullmatch(path.name)) else (1, 0)
        sizes.add(size)
        by_rank[rank] = path
    if len(sizes) != 1:
        raise WindowError(f"{folder}: holds shards of {sorted(sizes)} processes; remove one kind")
    (size,) = sizes
    for rank in range(size):
        if rank not in by_rank:
            raise WindowError(f"{folder}: the shard of rank {rank} of {size} is missing")
    return [by_rank[rank] for rank in range(size)]


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WindowError(f"{path}: cannot be read as tensors alone ({reason})") from error
    if not isinstance(state, Mapping):
        raise WindowError(f"{path}: holds a {type(state).__name__}, not tensors by name")
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}

"""Snapshots that only tests read: of tensors in memory, a link of a chain of deltas, folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from relex.checkpoints import (
    TOY_BASE,
    Checkpoint,
    NamedTensor,
    TensorInfo,
    check_same_tensors,
    write_checkpoint,
)
from relex.errors import WindowError
from relex.window.codec import DeltaFile, Snapshot
from relex.window.codec.snapshot import BEFORE
from relex.window.sources import FolderSource
from relex.window.trainers import KNOWN_NAMES, CheckpointOpener

READS_IN_PLACE = CheckpointOpener(KNOWN_NAMES, Path("no-folder-is-needed"))


class TensorsAtHand:
    """The snapshot of a model whose tensors are in memory, on any device.

    They are not copied: who trains on with them hands a copy to whatever reads the snapshot later.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        return {
            name: TensorInfo(tuple(tensor.shape), tensor.dtype)
            for name, tensor in self._tensors.items()
        }

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        return self._tensors[name].detach().reshape(-1)[start:stop].clone()


class DeltaSnapshot:
    """The snapshot in a delta file, given the one before; itself a Snapshot, decoded when read."""

    def __init__(self, delta: DeltaFile, previous: Snapshot | None = None) -> None:
        """`previous` is needed unless `delta` is whole.

        Raises WindowError when it has other tensors than `delta`.
        """
        if previous is not None:
            before = previous.tensors
            check_same_tensors(
                delta.where, delta.tensors, before, BEFORE, dtypes_too=True, error=WindowError
            )
        self._delta, self._previous = delta, previous
        self.tensors = delta.tensors

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Elements [start, stop) of the flattened tensor `name`, bit for bit, on the CPU.

        Raises WindowError, naming file and tensor, when the file is damaged or made from another
        snapshot than `previous`, and what reading that raises.
        """
        info, block = self.tensors[name], self._delta.block_elements
        stop = info.num_elements if stop is None else stop
        if start >= stop:
            return torch.empty(0, dtype=info.dtype)
        first, last = start // block * block, min(-(-stop // block) * block, info.num_elements)
        elements_N = self._read_previous(name, first, last)
        self._delta.decode(name, first, elements_N)
        self._delta.check(name, first, elements_N)
        return elements_N[start - first : stop - first]

    def _read_previous(self, name: str, start: int, stop: int) -> torch.Tensor:
        """The previous elements, or any where the tensor needs none."""
        if all(block.facts.kind == "whole" for block in self._delta.blocks(name, start, stop)):
            return torch.empty(stop - start, dtype=self.tensors[name].dtype)
        if self._previous is None:
            raise WindowError(f"{self._delta.where}: {name}: needs the snapshot before it")
        return self._previous.read(name, start, stop)


def folder_source(folder: Path) -> FolderSource:
    """The checkpoints in a folder, to be packed."""
    return FolderSource(folder, READS_IN_PLACE)


def write_toy_line(folder: Path, steps: Sequence[int] = (1, 2, 3)) -> None:
    """Checkpoints of the toy on a straight line, by the names of TRL."""
    base = Checkpoint(TOY_BASE)

    def moved(step: int, name: str) -> NamedTensor:
        return name, base.read_tensor(name).float() * (1 + 0.05 * step)

    for step in steps:
        tensors = (moved(step, name) for name in base.tensors)
        write_checkpoint(folder / f"checkpoint-{step}", base, tensors)

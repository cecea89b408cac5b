"""A folder of Hugging Face checkpoints as a window."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

import torch

from relex.checkpoints import Checkpoint
from relex.checkpoints.weight_files import SUFFIX
from relex.errors import WindowError
from relex.window.fingerprints import Fingerprints
from relex.window.same_tensors import same_tensors

STEP_NAME = re.compile(r"(?:checkpoint-|global_step_|step_)(\d+)")
NESTED = "actor/huggingface"
"""Where verl puts the Hugging Face checkpoint inside that of a step."""

SHARDS_OF_VERL = {
    "fsdp": re.compile(r"actor/model_world_size_\d+_rank_\d+\.pt"),
    "megatron": re.compile(r"actor/dist_ckpt/.+"),
}
"""Weights as verl keeps them for itself, by the backend that its merger has to be told."""


class CheckpointFolder:
    """Sub-folders named `checkpoint-N`, `global_step_N` or `step_N`; others are left alone."""

    def __init__(self, folder: Path) -> None:
        """Read the headers of all checkpoints.

        Raises WindowError when there are none, a step is there twice, or the steps differ in their
        tensors; CheckpointError when one is damaged.
        """
        self.where = str(folder)
        self.base_digest: str | None = None
        self._checkpoint_of = {
            step: Checkpoint(path) for step, path in sorted(step_folders(folder).items())
        }
        self.steps = tuple(self._checkpoint_of)
        self.tensors = same_tensors(
            self.where, {step: found.tensors for step, found in self._checkpoint_of.items()}
        )
        self._fingerprints = Fingerprints(self.tensors)

    def read(self, step: int, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        return self._checkpoint(step, name).read(name, start, stop)

    def read_rows(self, steps: Sequence[int], name: str, start: int, out_SN: torch.Tensor) -> None:
        for step, out_N in zip(steps, out_SN, strict=True):
            self._checkpoint(step, name).read_into(name, start, out_N)
            self._fingerprints.add(step, name, start, out_N)

    def digest(
        self, steps: Sequence[int] | None = None, names: Collection[str] | None = None
    ) -> str:
        return self._fingerprints.digest(self.read, steps or self.steps, names or self.tensors)

    def _checkpoint(self, step: int, name: str) -> Checkpoint:
        if step not in self._checkpoint_of:
            raise WindowError(f"{self.where}: has no step {step}")
        if name not in self.tensors:
            raise WindowError(f"{self.where}: has no tensor {name}")
        return self._checkpoint_of[step]


def step_folders(folder: Path) -> dict[int, Path]:
    """The checkpoint folder of every step; raises WindowError when there is none, or one twice."""
    if not folder.is_dir():
        raise WindowError(f"{folder}: is not a folder; give a window or a folder of checkpoints")
    found: dict[int, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        match = STEP_NAME.fullmatch(path.name)
        if match is None:
            continue
        step = int(match[1])
        if step == 0:
            raise WindowError(f"{path}: step 0 is the base, not a snapshot; move it elsewhere")
        if step in found:
            raise WindowError(f"{folder}: holds step {step} twice: {found[step].name}, {path.name}")
        found[step] = path
    if not found:
        raise WindowError(
            f"{folder}: neither a window nor a folder of checkpoints named checkpoint-N, "
            "global_step_N or step_N"
        )
    return {step: checkpoint_folder(path) for step, path in found.items()}


def checkpoint_folder(step: Path) -> Path:
    """The checkpoint inside the folder of a step; raises as `checkpoint_place`."""
    folders = ("", "actor", NESTED, "actor/dist_ckpt")
    names = [f"{folder}/{path.name}" for folder in folders for path in (step / folder).glob("*")]
    return step / checkpoint_place(str(step), [name.removeprefix("/") for name in names])


def checkpoint_place(where: str, names: Collection[str]) -> str:
    """Which folder of a step holds its Hugging Face checkpoint; `names` are the files of the step.

    It is that of verl where there are weights in it, else the step itself. Raises WindowError when
    the weights are shards that verl has still to merge.
    """
    places = {PurePosixPath(name).parent for name in names if name.endswith(SUFFIX)}
    for place in (NESTED, ""):
        if PurePosixPath(place) in places:
            return place
    for backend, pattern in SHARDS_OF_VERL.items():
        for shard in sorted(filter(pattern.fullmatch, names)):
            raise WindowError(
                f"{where}: its weights are {backend} shards ({shard}); merge those of every step, "
                f"in its folder: python -m verl.model_merger merge --backend {backend} "
                f"--local_dir actor --target_dir {NESTED}"
            )
    return NESTED if any(name.startswith(f"{NESTED}/") for name in names) else ""

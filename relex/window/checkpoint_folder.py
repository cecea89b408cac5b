"""A folder of Hugging Face checkpoints as a window."""

from collections.abc import Collection, Sequence
from pathlib import Path

import torch

from relex.checkpoints import Checkpoint
from relex.errors import WindowError
from relex.window.codec import Snapshot
from relex.window.fingerprints import Fingerprints
from relex.window.matching import Matcher
from relex.window.same_tensors import same_tensors
from relex.window.trainers import KNOWN_NAMES, StepNames, open_checkpoint


class CheckpointFolder:
    """Sub-folders named for steps; others are left alone."""

    def __init__(self, folder: Path, base: Checkpoint | None = None) -> None:
        """Read the headers of all checkpoints, and take them in the names of the base.

        Raises WindowError when there are none, a step is there twice, or the steps differ in their
        tensors or are not made of the base's; CheckpointError when one is damaged.
        """
        self.where = str(folder)
        self.base_digest: str | None = None
        matcher = None if base is None else Matcher(base)
        self._snapshot_of: dict[int, Snapshot] = {}
        for step, path in step_folders(folder).items():
            found = open_checkpoint(path)
            where = f"{folder}: step {step}"
            self._snapshot_of[step] = found if matcher is None else matcher.match(where, found)
        self.notes: tuple[str, ...] = () if matcher is None else tuple(matcher.notes)
        self.steps = tuple(self._snapshot_of)
        self.tensors = same_tensors(
            self.where, {step: found.tensors for step, found in self._snapshot_of.items()}
        )
        self._fingerprints = Fingerprints(self.tensors)

    def read(self, step: int, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        return self._snapshot(step, name).read(name, start, stop)

    def read_rows(self, steps: Sequence[int], name: str, start: int, out_SN: torch.Tensor) -> None:
        for step, out_N in zip(steps, out_SN, strict=True):
            snapshot = self._snapshot(step, name)
            if isinstance(snapshot, Checkpoint):
                snapshot.read_into(name, start, out_N)
            else:
                out_N.copy_(snapshot.read(name, start, start + len(out_N)))
            self._fingerprints.add(step, name, start, out_N)

    def digest(
        self, steps: Sequence[int] | None = None, names: Collection[str] | None = None
    ) -> str:
        return self._fingerprints.digest(self.read, steps or self.steps, names or self.tensors)

    def _snapshot(self, step: int, name: str) -> Snapshot:
        if step not in self._snapshot_of:
            raise WindowError(f"{self.where}: has no step {step}")
        if name not in self.tensors:
            raise WindowError(f"{self.where}: has no tensor {name}")
        return self._snapshot_of[step]


def step_folders(folder: Path, names: StepNames = KNOWN_NAMES) -> dict[int, Path]:
    """The folder of every step, ascending; raises WindowError when there is none, or one twice."""
    if not folder.is_dir():
        raise WindowError(f"{folder}: is not a folder; give a window or a folder of checkpoints")
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    return {step: folder / name for step, name in names.steps(str(folder), found).items()}

"""A window that relex wrote, read from its folder or from S3.

N elements of one span of a tensor.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property

import torch

from relex.checkpoints import Checkpoint
from relex.digests import sha256_json
from relex.errors import WindowError
from relex.storage import Store
from relex.window.layout import WindowManifest
from relex.window.moved import Moved
from relex.window.precision import restored_tensors
from relex.window.replay import Replay
from relex.window.rounding import UNITS, Units, restored, weight_names
from relex.window.same_tensors import same_tensors


class StoredWindow:
    """The safe steps of a window; a run that is still writing adds none to an open one."""

    notes: tuple[str, ...] = ()

    def __init__(self, store: Store, manifest: WindowManifest, base: Checkpoint | None) -> None:
        """Check the size and read the header of every step's file.

        Without `base`, nothing can be read that was encoded against it. Raises WindowError when a
        file is missing, truncated or differs in its tensors, or the window is of another base.
        """
        self.where = store.uri
        self.manifest = manifest
        self.steps = manifest.steps
        self.base_digest: str | None = manifest.base_digest
        self.store = store
        self._base = base
        self._check_base()
        self._replay = Replay(store, manifest, base)
        self.tensors = same_tensors(
            self.where,
            {step: restored_tensors(found) for step, found in self._replay.tensors_of.items()},
        )

    def read(self, step: int, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        self._check_known(name, (step,))
        stop = self.tensors[name].num_elements if stop is None else stop
        return next(self.rows(name, start, stop, (step,)))

    def rows(
        self, name: str, start: int, stop: int, steps: Sequence[int]
    ) -> Iterator[torch.Tensor]:
        """What `read` gives at each of `steps`, which ascend, in one pass over the window.

        Far cheaper than as many calls of `read`, because every delta is decoded once. A row may lie
        in the memory of the one before: use or copy it before asking for the next. Safe to run in
        several threads. Raises as `read`.
        """
        self._check_known(name, steps)
        rows = self._replay.rows(name, start, stop, steps)
        if self.manifest.facts.precision != "rounded" or not self._is_weight(name):
            return rows
        return self._restored(name, start, stop, zip(steps, rows, strict=True))

    def read_rows(self, steps: Sequence[int], name: str, start: int, out_SN: torch.Tensor) -> None:
        rows = self.rows(name, start, start + out_SN.shape[1], steps)
        for out_N, row_N in zip(out_SN, rows, strict=True):
            out_N.copy_(row_N)

    @property
    def is_sparse(self) -> bool:
        """Whether all weights are stored as they are in two bytes: then so few change per step that
        reading these alone is cheaper than reading rows."""
        dtypes = {info.dtype for name, info in self.tensors.items() if self._is_weight(name)}
        kept_as_they_are = self.manifest.facts.precision != "rounded"
        return kept_as_they_are and all(dtype.itemsize == 2 for dtype in dtypes)

    @property
    def block_elements(self) -> int:
        """Elements that are decoded together: a read of whole blocks wastes nothing."""
        return self._replay.block_elements

    def most_entries(self, last_step: int) -> int:
        """Entries of the fullest block in the deltas of all steps up to that one; no more of its
        elements move."""
        return self._replay.most_entries(last_step)

    def read_moved(
        self, steps: Sequence[int], name: str, start: int, base_N: torch.Tensor
    ) -> Moved:
        """The elements that differ from the base at any of these steps.

        `base_N` are those of the base from `start` on, whole blocks, on the device where all else
        is computed. Raises as `read`.
        """
        self._check_known(name, steps)
        return self._replay.moved(name, start, base_N.to(self.tensors[name].dtype), steps)

    def digest(
        self, steps: Sequence[int] | None = None, names: Collection[str] | None = None
    ) -> str:
        files = {key: entry.sha256 for key, entry in self.manifest.files.items()}
        return sha256_json({"base": self.base_digest, "files": files})

    def _restored(
        self, name: str, start: int, stop: int, rows: Iterator[tuple[int, torch.Tensor]]
    ) -> Iterator[torch.Tensor]:
        if self._base is None:
            raise WindowError(f"{self.where}: its steps are rounded displacements; give the base")
        base_N = self._base.read(name, start, stop)
        for step, number_N in rows:
            yield restored(number_N, base_N, step, self._units_of[step][name])

    @cached_property
    def _units_of(self) -> dict[int, Units]:
        names = weight_names(self.tensors)
        rows = self._replay.rows(UNITS, 0, len(names), self.steps)
        return {
            step: dict(zip(names, unit_N.tolist(), strict=True))
            for step, unit_N in zip(self.steps, rows, strict=True)
        }

    def _is_weight(self, name: str) -> bool:
        return self.tensors[name].dtype.is_floating_point

    def _check_known(self, name: str, steps: Sequence[int]) -> None:
        for step in steps:
            if step not in self.steps:
                raise WindowError(f"{self.where}: has no step {step}")
        if name not in self.tensors:
            raise WindowError(f"{self.where}: has no tensor {name}")

    def _check_base(self) -> None:
        if self._base is not None and self._base.digest() != self.base_digest:
            raise WindowError(
                f"{self.where}: was made from another base than {self._base.folder} (digests "
                f"{self.manifest.base_digest[:12]} and {self._base.digest()[:12]}); give the base "
                "it started from"
            )

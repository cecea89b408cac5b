"""What every kind of window can do."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch

from relex.checkpoints import TensorInfo


class Window(Protocol):
    """Snapshots of the same tensors at ascending steps.

    A Protocol because there are two kinds: the windows that relex writes, and plain folders of
    Hugging Face checkpoints.
    """

    where: str
    """Folder or S3 address, for messages."""

    steps: tuple[int, ...]
    """Optimizer steps, ascending."""

    tensors: dict[str, TensorInfo]
    """Name to shape and dtype, the same at every step."""

    base_digest: str | None
    """Digest of the base that the run started from, where it was recorded."""

    def read(self, step: int, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Elements [start, stop) of the flattened tensor `name` at `step`, on the CPU.

        Raises WindowError when the window has no such step or tensor, or a file of it is damaged,
        CheckpointError when that of a plain folder is, StorageError when it cannot be read.
        """

    def rows(
        self, name: str, start: int, stop: int, steps: Sequence[int]
    ) -> Iterator[torch.Tensor]:
        """What `read` gives at each of `steps`, which ascend, in one pass over the window.

        Far cheaper than as many calls of `read` where steps are stored as deltas. Safe to run in
        several threads. Raises as `read`.
        """

    def digest(self) -> str:
        """Identity of all its content."""

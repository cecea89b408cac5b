"""What every kind of window can do."""

from collections.abc import Collection, Sequence
from typing import Protocol

import torch

from relex.checkpoints import TensorInfo


class Window(Protocol):
    """Snapshots of the same tensors at ascending steps.

    A Protocol because there are three kinds: the windows that relex writes, and plain folders of
    Hugging Face checkpoints or of LoRA adapters.
    """

    where: str
    """Folder or S3 address, for messages."""

    steps: tuple[int, ...]
    """Optimizer steps, ascending."""

    tensors: dict[str, TensorInfo]
    """Name to shape and dtype, the same at every step."""

    base_digest: str | None
    """Digest of the base that the run started from, where it was recorded."""

    notes: tuple[str, ...]
    """What of the snapshots was taken for what of the base, a line each."""

    def read(self, step: int, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Elements [start, stop) of the flattened tensor `name` at `step`, on the CPU.

        Raises WindowError when the window has no such step or tensor, or a file of it is damaged,
        CheckpointError when that of a plain folder is, StorageError when it cannot be read.
        """

    def read_rows(self, steps: Sequence[int], name: str, start: int, out_SN: torch.Tensor) -> None:
        """Fill each row of `out_SN`, of the tensor's dtype, with the elements from `start` on at
        one of the ascending `steps`. Raises as `read`.
        """

    def digest(
        self, steps: Sequence[int] | None = None, names: Collection[str] | None = None
    ) -> str:
        """Identity of the content at these steps of these tensors, of everything by default.

        A window that records digests answers for all its content without reading; a plain folder
        of checkpoints reads what `read_rows` has not read already.
        """

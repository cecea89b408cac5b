"""What every kind of window can do."""

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

import torch

from relex.checkpoints import TensorInfo
from relex.window.moved import Moved


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


@runtime_checkable
class SparseWindow(Protocol):
    """A window that knows which elements moved, so that the others need not be made."""

    is_sparse: bool
    """Whether so few of them moved that reading these alone is cheaper than reading rows."""

    block_elements: int
    """Elements that are decoded together: a read of whole blocks wastes nothing."""

    def read_moved(self, steps: Sequence[int], name: str, start: int, stop: int) -> Moved:
        """The elements of [start, stop) that differ from the base at any of these steps.

        Their positions count from `start`. Elements that do not differ may be among them. Raises as
        `Window.read`.
        """

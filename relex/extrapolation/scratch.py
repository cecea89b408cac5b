"""Memory that one thread uses again and again.

Asking the system for fresh pages for every piece costs more than the arithmetic on it.
"""

from collections.abc import Sequence
from math import prod

import torch


class Scratch:
    """Named pieces of memory on one device; what is taken under a name ends what was taken before.

    For one thread only.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._kept: dict[tuple[str, str], torch.Tensor] = {}

    def take(self, use: str, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """A tensor on the device whose elements are not set."""
        return self._take(use, shape, dtype, self.device)

    def take_on_host(self, use: str, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """The same in the CPU's memory, pinned where a GPU copies from or to it."""
        return self._take(use, shape, dtype, torch.device("cpu"))

    def to_host(self, use: str, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` on the CPU, complete."""
        if tensor.device.type == "cpu":
            return tensor
        copy = self.take_on_host(use, tensor.shape, tensor.dtype)
        copy.copy_(tensor, non_blocking=True)
        torch.cuda.current_stream(tensor.device).synchronize()
        return copy

    def _take(
        self, use: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> torch.Tensor:
        num_bytes = prod(shape) * dtype.itemsize
        kept = self._kept.get((use, device.type))
        if kept is None or len(kept) < num_bytes:
            pinned = device.type == "cpu" and self.device.type == "cuda"
            kept = torch.empty(num_bytes, dtype=torch.uint8, device=device, pin_memory=pinned)
            self._kept[use, device.type] = kept
        return kept[:num_bytes].view(dtype).view(tuple(shape))

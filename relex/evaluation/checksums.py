"""Checksums of the layers of a model, by which an engine's weights are compared with a candidate's.

A layer's checksum is the sum of its bits, read as 64-bit integers, modulo 2^64. Engines join
tensors and pad them with zeros, which does not change it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import torch

from relex.checkpoints import NamedTensor
from relex.checkpoints.raw_bytes import raw_bytes

NUMBER = re.compile(r"\.(\d+)\.")
OUTSIDE = "outside the layers"
WORD_BYTES = 8


class LayerSums:
    """Checksums by layer, which is the first number in a tensor's name."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()

    def passing(self, tensors: Iterable[NamedTensor]) -> Iterator[NamedTensor]:
        """Pass the tensors on, and add them."""
        for name, tensor in tensors:
            self._add(name, tensor)
            yield name, tensor

    def unlike(self, tensors: Iterable[NamedTensor]) -> set[str]:
        """Layers of which the tensors, which an engine holds, have another sum."""
        held = LayerSums()
        for name, tensor in tensors:
            held._add(name, tensor)
        layers = self._sums.keys() | held._sums.keys()
        return {layer for layer in layers if (self._sums[layer] - held._sums[layer]) % (1 << 64)}

    def _add(self, name: str, tensor: torch.Tensor) -> None:
        found = NUMBER.search(name)
        self._sums[found[1] if found else OUTSIDE] += _sum(raw_bytes(tensor.detach().reshape(-1)))


def _sum(byte_N: torch.Tensor) -> int:
    if byte_N.storage_offset() % WORD_BYTES:
        byte_N = byte_N.clone()
    # Sums of narrower integers are a hundred times as slow on a processor.
    whole = len(byte_N) // WORD_BYTES * WORD_BYTES
    rest = bytes(byte_N[whole:].tolist())
    return int(byte_N[:whole].view(torch.int64).sum()) + int.from_bytes(rest, "little")

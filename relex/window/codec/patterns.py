"""Elements as bit patterns, and how far a pattern moves from one snapshot to the next.

Patterns are compared and moved as integers: -0.0 differs from 0.0, a NaN equals itself, and nothing
rounds. Between neighbouring floating-point numbers of one sign the distance of the patterns is 1,
so most moves of a training step are small whole numbers. Moves wrap around.

N elements of one block, C changed elements.
"""

from functools import lru_cache

import numpy as np
import torch

from relex.checkpoints.raw_bytes import raw_bytes

GOLDEN_RATIO = 0x1E3779B97F4A7C15
"""2^64 over it, odd, without the highest bit; its multiples spread over all bits."""

INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By bytes of an element."""


def patterns(elements_N: torch.Tensor) -> torch.Tensor:
    """The same memory as signed integers; compares bit by bit, on any device."""
    return elements_N.detach().view(INTEGERS[elements_N.dtype.itemsize])


def nonzero(integer_N: torch.Tensor) -> torch.Tensor:
    """Where integers or flags are not zero, ascending, int64; found on their device."""
    if integer_N.device.type == "cpu":  # numpy takes a fifth of torch's time
        return torch.from_numpy(np.flatnonzero(integer_N.numpy() != 0))
    return integer_N.nonzero()[:, 0]


def checksum(elements_N: torch.Tensor) -> int:
    """64 bits that any change of the elements changes; computed on their device, in one pass.

    The sum, modulo 2^64, of all words of 8 bytes, each times an odd number of its place, so that
    changes which outweigh each other do not go unseen.
    """
    bytes_B = raw_bytes(elements_N.contiguous())
    if len(bytes_B) % 8:
        bytes_B = torch.nn.functional.pad(bytes_B, (0, -len(bytes_B) % 8))
    words_W = bytes_B.view(torch.int64)
    odd_W = _odd_numbers(len(words_W), words_W.device)
    if words_W.device.type == "cpu":  # in half of torch's time
        return int(words_W.numpy().dot(odd_W.numpy())) % (1 << 64)
    return int(torch.sum(words_W * odd_W)) % (1 << 64)


@lru_cache(4)
def _odd_numbers(count: int, device: torch.device) -> torch.Tensor:
    number_W = torch.arange(1, count + 1, dtype=torch.int64) * GOLDEN_RATIO
    return ((number_W ^ (number_W >> 29)) | 1).to(device)

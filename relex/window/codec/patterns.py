"""Elements as bit patterns, and how far a pattern moves from one snapshot to the next.

Patterns are compared and moved as integers: -0.0 differs from 0.0, a NaN equals itself, and nothing
rounds. Between neighbouring floating-point numbers of one sign the distance of the patterns is 1,
so most moves of a training step are small whole numbers.

N elements of one block, C changed elements.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from relex.checkpoints.raw_bytes import raw_bytes

Patterns = npt.NDArray[np.unsignedinteger]
"""Unsigned little-endian integers as wide as the elements."""

GOLDEN_RATIO = 0x1E3779B97F4A7C15
"""2^64 over it, odd, without the highest bit; its multiples spread over all bits."""

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def integers(elements_N: torch.Tensor) -> torch.Tensor:
    """The same memory as signed integers; compares bit by bit, on any device."""
    return elements_N.detach().view(_INTEGERS[elements_N.dtype.itemsize])


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


def patterns(elements_N: torch.Tensor) -> Patterns:
    """Bit patterns of a tensor, on the CPU; they share memory with a tensor on the CPU."""
    signed = integers(elements_N).cpu().numpy()
    return signed.view(f"<u{signed.itemsize}")


def changed_positions(previous_N: torch.Tensor, current_N: torch.Tensor) -> torch.Tensor:
    """Where the bits differ, ascending, int64; compared on the device of the tensors."""
    if current_N.device.type == "cpu":  # numpy takes a third of torch's time
        changed_N = patterns(previous_N) != patterns(current_N)
        return torch.from_numpy(np.flatnonzero(changed_N))
    return (integers(previous_N) != integers(current_N)).nonzero().flatten()


def elements(patterns_N: Patterns, dtype: torch.dtype) -> torch.Tensor:
    """The tensor with these bit patterns; shares their memory."""
    return torch.from_numpy(patterns_N.view(f"<i{patterns_N.itemsize}")).view(dtype)


def size_order(patterns_C: Patterns) -> npt.NDArray[np.intp]:
    """The stable order of floating-point numbers by size, as coarse as the 8 bits after the sign.

    Small weights move by many units in the last place and large ones by one, so moves in this order
    compress better. Sorting bytes takes one pass.
    """
    bits_below = max(8 * patterns_C.itemsize - 9, 0)
    size_C = (patterns_C >> bits_below).astype(np.uint8)
    return np.argsort(size_C, kind="stable")


def split_moves(old_C: Patterns, new_C: Patterns) -> tuple[npt.NDArray[np.bool_], Patterns]:
    """Sign and size of new - old as integers of their width, which wrap around."""
    move_C = (new_C - old_C).view(f"<i{old_C.itemsize}")
    return move_C < 0, np.abs(move_C).view(old_C.dtype)


def joined_moves(negative_C: npt.NDArray[np.uint8], size_C: Patterns) -> Patterns:
    """What to add to the old patterns for `split_moves` to give these signs (0 or 1) and sizes."""
    # Negation in two's complement; choosing by sign would mispredict every other branch.
    all_ones_C = -negative_C.astype(size_C.dtype)
    move_C: Patterns = (size_C ^ all_ones_C) - all_ones_C
    return move_C

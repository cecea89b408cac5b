"""Streams: positions and integers as bytes, packed by zstd where that pays.

C positions, E entries of a stream.
"""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import zstandard

from relex.errors import WindowError

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.signedinteger]
Positions = npt.NDArray[np.int64]

LARGEST_ADVANCE = 255
LARGEST_HALF = 7
"""Integers up to this size, below and above zero, take half a byte."""

PAYS_FRACTION = 0.9
"""Streams that zstd does not make smaller than this stay as they are: on the reference window the
advances, packed, would save 4 % of all bytes, but they are most of what has to be unpacked."""


class _Zstd(threading.local):
    """One pair of contexts per thread: they are slow to make and not safe to share."""

    def __init__(self) -> None:
        # These streams repeat nothing. Looking for repetitions saves no byte, and those found
        # double the time of unpacking.
        parameters = zstandard.ZstdCompressionParameters.from_level(1, min_match=7, hash_log=6)
        self.compressor = zstandard.ZstdCompressor(compression_params=parameters)
        self.decompressor = zstandard.ZstdDecompressor()


_ZSTD = _Zstd()


def pack_positions(position_C: Positions) -> tuple[Bytes, Positions]:
    """Ascending positions as advances from one entry to the next, a byte each, and which entry is
    whose.

    Where an advance is longer, entries that stand for nothing come between; another one makes their
    number even.
    """
    advance_C = np.diff(position_C, prepend=0)
    long = np.flatnonzero(advance_C > LARGEST_ADVANCE)  # few, and division is slow
    num_more = (advance_C[long] - 1) // LARGEST_ADVANCE
    advance_C[long] -= num_more * LARGEST_ADVANCE
    num_entries_C = np.ones_like(advance_C)
    num_entries_C[long] += num_more
    entry_C = np.cumsum(num_entries_C) - 1
    num_entries = int(entry_C[-1]) + 1
    advance_E = np.full(num_entries + num_entries % 2, LARGEST_ADVANCE, np.uint8)
    advance_E[num_entries:] = 0
    advance_E[entry_C] = advance_C
    return advance_E, entry_C


def pack_halves(integer_E: Integers) -> Bytes:
    """An even number of integers of at most LARGEST_HALF, two in a byte."""
    half_E = (integer_E + LARGEST_HALF).astype(np.uint8)
    halves: Bytes = np.bitwise_or(half_E[::2], np.left_shift(half_E[1::2], 4))
    return halves


def unpack_halves(halves: torch.Tensor) -> torch.Tensor:
    """The integers: E, int8, on the device of the bytes."""
    pair = halves.to(torch.int16)
    return ((pair | pair << 4) & 0x0F0F).view(torch.int8).sub_(LARGEST_HALF)


def fold(integer_E: Integers) -> Integers:
    """Signs go into the lowest bit, so that the high bytes of small integers are all zero."""
    folded_E: Integers = (integer_E << 1) ^ (integer_E >> (8 * integer_E.itemsize - 1))
    return folded_E


def unfold(folded_E: Integers) -> Integers:
    unsigned_E = folded_E.view(f"<u{folded_E.itemsize}")
    return ((unsigned_E >> 1) ^ -(unsigned_E & 1)).view(folded_E.dtype)


def pack_planes(integer_E: Integers) -> Bytes:
    """The lowest bytes of all integers, then the next ones, up to the highest."""
    return np.ascontiguousarray(integer_E.view(np.uint8).reshape(-1, integer_E.itemsize).T).ravel()


def unpack_planes(streams: Sequence[Bytes], width_bytes: int) -> Integers:
    """The integers of that width of all streams, one stream after the other."""
    nums = [len(stream) // width_bytes for stream in streams]

    def plane(index: int) -> Bytes:
        parts = [s[index * n : (index + 1) * n] for s, n in zip(streams, nums, strict=True)]
        return np.concatenate(parts)

    integer_E = plane(0).astype(f"<u{width_bytes}")
    for index in range(1, width_bytes):
        integer_E |= plane(index).astype(integer_E.dtype) << (8 * index)
    return integer_E.view(f"<i{width_bytes}")


def compress(stream: Bytes) -> bytes:
    """One zstd frame, or the bytes as they are."""
    frame: bytes = _ZSTD.compressor.compress(stream.data)
    return frame if len(frame) < PAYS_FRACTION * len(stream) else stream.tobytes()


def decompress(packed: Sequence[memoryview], sizes: Sequence[int]) -> list[Bytes]:
    """Streams of these sizes, without the interpreter's lock; takes no more memory than they need.

    Raises WindowError when one cannot be unpacked, or has another size.
    """
    unpacked = [np.frombuffer(stream, np.uint8) for stream in packed]
    frames = [at for at, stream in enumerate(unpacked) if len(stream) != sizes[at]]
    if not frames:
        return unpacked
    if not all(sizes[at] for at in frames):  # to zstd this says that the size is not known
        raise WindowError("a stream cannot be unpacked (it should be empty)")
    try:
        contents = _ZSTD.decompressor.multi_decompress_to_buffer(
            [packed[at] for at in frames],
            decompressed_sizes=np.array([sizes[at] for at in frames], "<u8").tobytes(),
        )
    except (zstandard.ZstdError, ValueError) as error:
        raise WindowError(f"a stream cannot be unpacked ({error})") from error
    for number, at in enumerate(frames):
        unpacked[at] = np.frombuffer(contents[number].tobytes(), np.uint8)
    return unpacked

"""Streams: integers and flags as bytes in an order that compresses well, each one zstd frame.

C changed elements.
"""

import threading

import numpy as np
import numpy.typing as npt
import torch
import zstandard

from relex.errors import WindowError
from relex.window.codec.patterns import Patterns

LEVEL = 1
"""Higher levels of zstd save less than 2 % of these streams and cost several times as much."""

ESCAPE = 255
"""Stands for "255 more, and go on" in a stream of gaps."""


class _Zstd(threading.local):
    """One pair of contexts per thread: they are slow to make and not safe to share."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(LEVEL, write_checksum=True)
        self.decompressor = zstandard.ZstdDecompressor()


_ZSTD = _Zstd()
Positions = npt.NDArray[np.int64]


def pack_gaps(position_C: Positions) -> npt.NDArray[np.uint8]:
    """Ascending positions as one byte for each gap between them, more where a gap is 255 or longer.

    A gap counts the elements left out; they are far below 255 where 1 % or more changed.
    """
    gap_C = position_C.copy()
    gap_C[1:] -= position_C[:-1] + 1
    num_bytes_C = np.ones_like(gap_C)
    long = np.flatnonzero(gap_C >= ESCAPE)  # few, and division is slow
    num_bytes_C[long] += gap_C[long] // ESCAPE
    gap_C[long] %= ESCAPE
    last_byte_C = np.cumsum(num_bytes_C) - 1
    codes = np.full(last_byte_C[-1] + 1, ESCAPE, np.uint8)
    codes[last_byte_C] = gap_C
    return codes


def unpack_gaps(codes: npt.NDArray[np.uint8], num_changed: int, num_elements: int) -> Positions:
    """The positions that were packed.

    Raises WindowError unless they are `num_changed`, all below `num_elements`.
    """
    is_last = codes != ESCAPE
    elements_passed = codes + is_last  # by each byte: the gap, and at its end the element itself
    # torch keeps the sum in a register, numpy takes twice as long.
    passed = torch.cumsum(torch.from_numpy(elements_passed), 0, dtype=torch.int64).numpy()
    position_C: Positions = passed[is_last]
    position_C -= 1
    if len(position_C) != num_changed:
        raise WindowError(f"a block has {len(position_C)} positions, it announces {num_changed}")
    if codes[-1] == ESCAPE:
        raise WindowError("the last position of a block does not end")
    if position_C[-1] >= num_elements:
        raise WindowError(f"a block changes element {position_C[-1]} of {num_elements}")
    return position_C


def most_gap_bytes(num_changed: int, num_elements: int) -> int:
    """Bytes that `num_changed` gaps within `num_elements` can take at most."""
    return num_changed + num_elements // ESCAPE


def pack_planes(patterns_C: Patterns) -> list[npt.NDArray[np.uint8]]:
    """The lowest bytes of all patterns, then the next ones, up to the highest."""
    bytes_CW = patterns_C.view(np.uint8).reshape(-1, patterns_C.itemsize)
    return list(np.ascontiguousarray(bytes_CW.T))


def unpack_planes(planes: list[npt.NDArray[np.uint8]]) -> Patterns:
    patterns_C: Patterns = planes[0].astype(f"<u{len(planes)}")
    for index, plane in enumerate(planes[1:], start=1):
        patterns_C |= plane.astype(patterns_C.dtype) << (8 * index)
    return patterns_C


def compress(stream: npt.NDArray[np.uint8]) -> bytes:
    """One zstd frame with its content's size and checksum."""
    frame: bytes = _ZSTD.compressor.compress(stream.data)
    return frame


def decompress(frame: bytes, most_bytes: int) -> npt.NDArray[np.uint8]:
    """The content of a frame; allocates no more than `most_bytes` for it.

    Raises WindowError when the frame is damaged, or announces or holds another size.
    """
    try:
        num_bytes = zstandard.frame_content_size(frame)
        if num_bytes < 0:
            raise WindowError("a stream announces no size")
        if num_bytes > most_bytes:
            raise WindowError(f"a stream announces {num_bytes} bytes, at most {most_bytes} fit")
        content = _ZSTD.decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise WindowError(f"a stream cannot be decompressed ({error})") from error
    if len(content) != num_bytes:
        raise WindowError(f"a stream has {len(content)} bytes, it announces {num_bytes}")
    return np.frombuffer(content, np.uint8)


def decompress_exactly(frame: bytes, num_bytes: int) -> npt.NDArray[np.uint8]:
    """The content of a frame that must have `num_bytes`; raises as `decompress`."""
    content = decompress(frame, num_bytes)
    if len(content) != num_bytes:
        raise WindowError(f"a stream has {len(content)} bytes, {num_bytes} are needed")
    return content

"""One block: neighbouring elements of a tensor, encoded against those of the snapshot before.

N elements of the block, C changed elements.

A block is one of four kinds, and its streams are zstd frames one after the other:

- `unchanged`: no streams;
- `sparse`: gaps between the changed positions; then of the changed elements, in the order of the
  size of their old values, the signs of the moves (one bit each) and the byte planes of the sizes
  of the moves;
- `dense`: signs and byte planes of the moves of all elements, in their own order;
- `whole`: byte planes of the elements themselves, which needs no snapshot before.

A move is the difference of two bit patterns as integers; adding it to the old pattern gives the new
one, and the block's crc32 over the new patterns tells when the old one was not the expected one.
Only the old ones of changed elements take part in that; the block's checksum covers all elements,
and is compared where a replay ends.

A block has a few thousand changes, so decoding costs as much in calls as in work; the functions
below make few of them.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from relex.errors import WindowError
from relex.window.codec.patterns import (
    Patterns,
    changed_positions,
    checksum,
    joined_moves,
    patterns,
    size_order,
    split_moves,
)
from relex.window.codec.streams import (
    Positions,
    compress,
    decompress,
    decompress_exactly,
    most_gap_bytes,
    pack_gaps,
    pack_planes,
    unpack_gaps,
    unpack_planes,
)

LARGEST_SPARSE_FRACTION = 0.5
"""Where more changed, `sparse` saves 2 % to 5 % of the plain bytes, but takes 5 times as long."""

SURELY_DENSE_FRACTION = 0.5
"""Moves that take less than this of the plain bytes are kept; weights alone do not pack so well."""

Kind = Literal["unchanged", "sparse", "dense", "whole"]
Encoded = tuple[Kind, int, int, list[bytes]]
"""What EncodedBlock has but the checksum."""


@dataclass(frozen=True)
class EncodedBlock:
    """All that is needed beside the previous elements to decode a block."""

    kind: Kind
    num_changed: int
    """Elements whose bits differ from the previous ones; all where there are no previous ones."""

    crc32: int
    """Of the patterns that the streams make: the changed ones of a sparse block, else all."""

    checksum: int
    """Of all elements (`patterns.checksum`), also of those that did not change."""

    streams: tuple[bytes, ...]

    @property
    def num_bytes(self) -> int:
        return sum(map(len, self.streams))


def encode_block(previous_N: torch.Tensor | None, current_N: torch.Tensor) -> EncodedBlock:
    """Encode flat elements; both tensors have one dtype and one device, on which they are compared.

    Without previous elements the block is `whole`.
    """
    kind, num_changed, crc32, streams = _encode(previous_N, current_N)
    return EncodedBlock(kind, num_changed, crc32, checksum(current_N), tuple(streams))


def _encode(previous_N: torch.Tensor | None, current_N: torch.Tensor) -> Encoded:
    if previous_N is None:
        return _encode_whole(patterns(current_N), len(current_N))
    position_C = changed_positions(previous_N, current_N)
    num_changed = len(position_C)
    if num_changed == 0:
        return "unchanged", 0, zlib.crc32(b""), []
    if num_changed <= LARGEST_SPARSE_FRACTION * len(current_N):
        old_C, new_C = patterns(previous_N[position_C]), patterns(current_N[position_C])
        return _encode_sparse(position_C.cpu().numpy(), old_C, new_C)
    old_N, new_N = patterns(previous_N), patterns(current_N)
    dense = _encode_dense(old_N, new_N, num_changed)
    if _num_bytes(dense) <= SURELY_DENSE_FRACTION * new_N.nbytes:
        return dense
    return min(dense, _encode_whole(new_N, num_changed), key=_num_bytes)


def decode_block(block: EncodedBlock, old_N: Patterns) -> tuple[Positions | slice, Patterns]:
    """Where to put what into the previous patterns `old_N`, which stay as they are.

    What they hold does not matter where the block is `whole`. Raises WindowError when the block is
    damaged or was encoded against other patterns.
    """
    if block.kind == "whole":
        return slice(None), _decode_whole(block, len(old_N), old_N.itemsize)
    if block.kind == "dense":
        return slice(None), _decode_dense(block, old_N)
    if block.kind == "sparse":
        return _decode_sparse(block, old_N)
    return slice(0), old_N[:0]


def decode_changes(block: EncodedBlock, old_N: Patterns) -> tuple[Positions, Patterns]:
    """The positions, ascending, whose patterns differ from `old_N`, and the new ones there.

    The cost follows their number if the block is `sparse`. Raises as `decode_block`.
    """
    where, new = decode_block(block, old_N)
    if not isinstance(where, slice):
        return where, new
    position_C = np.flatnonzero(old_N[where] != new)
    return position_C, new[position_C]


def _num_bytes(encoded: Encoded) -> int:
    return sum(map(len, encoded[3]))


def _encode_sparse(position_C: Positions, old_C: Patterns, new_C: Patterns) -> Encoded:
    order_C = size_order(old_C)
    moves = _pack_moves(old_C[order_C], new_C[order_C])
    streams = [compress(pack_gaps(position_C)), *moves]
    return "sparse", len(position_C), zlib.crc32(new_C.data), streams


def _decode_sparse(block: EncodedBlock, old_N: Patterns) -> tuple[Positions, Patterns]:
    num_changed, num_elements = block.num_changed, len(old_N)
    _check_streams(block, 2 + old_N.itemsize)
    if not 0 < num_changed <= num_elements:
        raise WindowError(f"a block announces {num_changed} changes of {num_elements} elements")
    codes = decompress(block.streams[0], most_gap_bytes(num_changed, num_elements))
    position_C = unpack_gaps(codes, num_changed, num_elements)
    old_C = old_N[position_C]
    order_C = size_order(old_C)
    move_C = np.empty_like(old_C)
    move_C[order_C] = _unpack_moves(block.streams[1:], num_changed)
    return position_C, _checked(block, old_C + move_C)


def _encode_dense(old_N: Patterns, new_N: Patterns, num_changed: int) -> Encoded:
    return "dense", num_changed, zlib.crc32(new_N.data), _pack_moves(old_N, new_N)


def _decode_dense(block: EncodedBlock, old_N: Patterns) -> Patterns:
    _check_streams(block, 1 + old_N.itemsize)
    return _checked(block, old_N + _unpack_moves(block.streams, len(old_N)))


def _encode_whole(new_N: Patterns, num_changed: int) -> Encoded:
    return "whole", num_changed, zlib.crc32(new_N.data), list(map(compress, pack_planes(new_N)))


def _decode_whole(block: EncodedBlock, num_elements: int, width_bytes: int) -> Patterns:
    _check_streams(block, width_bytes)
    planes = [decompress_exactly(stream, num_elements) for stream in block.streams]
    return _checked(block, unpack_planes(planes))


def _pack_moves(old_C: Patterns, new_C: Patterns) -> list[bytes]:
    negative_C, size_C = split_moves(old_C, new_C)
    return [compress(stream) for stream in (np.packbits(negative_C), *pack_planes(size_C))]


def _unpack_moves(streams: Sequence[bytes], num_moves: int) -> Patterns:
    signs = decompress_exactly(streams[0], (num_moves + 7) // 8)
    negative_C = np.unpackbits(signs, count=num_moves)
    planes = [decompress_exactly(stream, num_moves) for stream in streams[1:]]
    return joined_moves(negative_C, unpack_planes(planes))


def _check_streams(block: EncodedBlock, num_streams: int) -> None:
    if len(block.streams) != num_streams:
        raise WindowError(f"a block has {len(block.streams)} streams, it needs {num_streams}")


def _checked(block: EncodedBlock, new_C: Patterns) -> Patterns:
    if zlib.crc32(new_C.data) != block.crc32:
        raise WindowError(
            "a block is damaged, or was encoded against another snapshot than the one given"
        )
    return new_C

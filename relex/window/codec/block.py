"""One block: neighbouring elements of a tensor, encoded against those of the snapshot before.

N elements of the block, C changed elements, E entries, F entries of far moves.

A block is one of four kinds:

- `unchanged`: no streams;
- `sparse`: four streams. The advances from entry to entry over the elements, and the moves of the
  entries in half a byte; then the advances over the entries to those that move farther, and
  byte planes of what these move;
- `dense`: byte planes of the moves of all elements, each a stream;
- `whole`: the same of the patterns themselves, which need no snapshot before.

A move is the difference of two bit patterns as integers. It is added to the old pattern without
looking at that, so blocks are decoded in any order, on any device: sums over advances, and a sum
into the patterns. What became of other patterns than those that a block was encoded against, its
checksum over all elements tells, which is compared where a replay ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
import xxhash
from pydantic import Field, NonNegativeInt

from relex.errors import WindowError
from relex.window.codec.patterns import INTEGERS, checksum, nonzero, patterns
from relex.window.codec.streams import (
    LARGEST_HALF,
    Bytes,
    Integers,
    Positions,
    compress,
    decompress,
    fold,
    pack_halves,
    pack_planes,
    pack_positions,
    unfold,
    unpack_halves,
    unpack_planes,
)

LARGEST_BLOCK_ELEMENTS = 1 << 24
LARGEST_SPARSE_FRACTION = 0.5
"""Where more changed, `sparse` saves 2 % to 5 % of the plain bytes, but takes 5 times as long."""

SURELY_DENSE_FRACTION = 0.5
"""Moves that take less than this of the plain bytes are kept; weights alone do not pack so well."""

Kind = Literal["unchanged", "sparse", "dense", "whole"]
NumEntries = Annotated[int, Field(ge=0, le=2 * LARGEST_BLOCK_ELEMENTS)]


class BlockFacts(NamedTuple):
    """What the table of a delta file says about a block."""

    kind: Kind
    num_changed: NonNegativeInt
    """Elements whose bits differ from the previous ones; all where there are no previous ones."""

    num_entries: NumEntries
    num_far: NumEntries
    checksum: NonNegativeInt
    """Of all elements (`patterns.checksum`), also of those that did not change."""

    digest: NonNegativeInt
    """Of the streams (`digest`)."""

    stream_bytes: tuple[NonNegativeInt, ...]


class EncodedBlock(NamedTuple):
    """A block as it is stored."""

    facts: BlockFacts
    payload: bytes | memoryview
    """Its streams, one after the other."""

    num_elements: int


@dataclass(frozen=True)
class Change:
    """How the patterns of a block become those of the next step: integers are added."""

    position_C: torch.Tensor | None
    """Where, int64; None for all elements. What does not move may be there, even twice."""

    move_C: torch.Tensor
    """As wide as the patterns; they wrap around."""

    is_whole: bool = False
    """Whether the integers are the patterns themselves."""

    @property
    def positions(self) -> torch.Tensor:
        assert self.position_C is not None
        return self.position_C

    def apply(self, pattern_N: torch.Tensor) -> None:
        if self.is_whole:
            pattern_N.copy_(self.move_C)
        elif self.position_C is None:
            pattern_N += self.move_C
        else:
            pattern_N.scatter_add_(0, self.position_C, self.move_C)

    def sparse(self, pattern_N: torch.Tensor | None) -> "Change":
        """The same as moves of single elements; `pattern_N` is needed where the change is whole."""
        if self.position_C is not None:
            return self
        move_N = self.move_C if pattern_N is None or not self.is_whole else self.move_C - pattern_N
        position_C = nonzero(move_N)
        return Change(position_C, move_N[position_C])


def digest(payload: bytes | memoryview) -> int:
    """32 bits of XXH3, which takes a tenth of the time of a crc32."""
    return xxhash.xxh3_64_intdigest(payload) & 0xFFFFFFFF


def encode_block(previous_N: torch.Tensor | None, current_N: torch.Tensor) -> EncodedBlock:
    """Encode flat elements; both tensors have one dtype and one device, on which they are compared.

    Without previous elements the block is `whole`.
    """
    old_N = None if previous_N is None else patterns(previous_N)
    numbers, streams = _encode(old_N, patterns(current_N))
    payload, sizes = b"".join(streams), tuple(map(len, streams))
    facts = BlockFacts(*numbers, checksum(current_N), digest(payload), sizes)
    return EncodedBlock(facts, payload, len(current_N))


def _encode(
    old_N: torch.Tensor | None, new_N: torch.Tensor
) -> tuple[tuple[Kind, int, int, int], list[bytes]]:
    """Kind and numbers of the facts, and the streams."""
    if old_N is None:
        return ("whole", len(new_N), 0, 0), _planes(new_N.cpu().numpy())
    position_C = nonzero(old_N != new_N)
    num_changed = len(position_C)
    if not num_changed:
        return ("unchanged", 0, 0, 0), []
    if num_changed <= LARGEST_SPARSE_FRACTION * len(new_N):
        move_C = (new_N[position_C] - old_N[position_C]).cpu().numpy()
        return _encode_sparse(position_C.cpu().numpy(), move_C)
    dense = _planes(fold((new_N - old_N).cpu().numpy()))
    if sum(map(len, dense)) > SURELY_DENSE_FRACTION * new_N.nbytes:
        whole = _planes(new_N.cpu().numpy())
        if sum(map(len, whole)) < sum(map(len, dense)):
            return ("whole", num_changed, 0, 0), whole
    return ("dense", num_changed, 0, 0), dense


def _planes(integer_N: Integers) -> list[bytes]:
    return list(map(compress, np.split(pack_planes(integer_N), integer_N.itemsize)))


def _encode_sparse(
    position_C: Positions, move_C: Integers
) -> tuple[tuple[Kind, int, int, int], list[bytes]]:
    advance_E, entry_C = pack_positions(position_C)
    is_far_C = (move_C < -LARGEST_HALF) | (move_C > LARGEST_HALF)
    move_E = np.zeros(len(advance_E), move_C.dtype)
    move_E[entry_C] = np.where(is_far_C, 0, move_C)
    # The end is an entry too, so that the advances of neighbouring blocks can be added up.
    advance_F, entry_G = pack_positions(np.append(entry_C[is_far_C], len(advance_E)))
    far_F = np.zeros(len(advance_F), move_C.dtype)
    far_F[entry_G[:-1]] = move_C[is_far_C]
    streams = advance_E, pack_halves(move_E), advance_F, pack_planes(fold(far_F))
    numbers: tuple[Kind, int, int, int] = "sparse", len(position_C), len(advance_E), len(advance_F)
    return numbers, list(map(compress, streams))


def decode_blocks(
    blocks: Sequence[EncodedBlock], width_bytes: int, device: torch.device | str = "cpu"
) -> list[Change]:
    """What every block does to patterns of `width_bytes`, on the device; blocks share most calls.

    Raises WindowError when a block does not fit its own facts.
    """
    sizes = [_sizes(block, width_bytes) for block in blocks]
    packed = [_streams(block, len(of_block)) for block, of_block in zip(blocks, sizes, strict=True)]
    unpacked = iter(decompress(list(chain(*packed)), list(chain(*sizes))))
    streams = [[next(unpacked) for _ in of_block] for of_block in sizes]
    sparse = [at for at, block in enumerate(blocks) if block.facts.kind == "sparse"]
    found = _decode_sparse(
        [blocks[at] for at in sparse], [streams[at] for at in sparse], width_bytes, device
    )
    change_of = dict(zip(sparse, found, strict=True))
    return [
        change_of.get(at) or _decode_all(block.facts.kind, streams[at], width_bytes, device)
        for at, block in enumerate(blocks)
    ]


def _streams(block: EncodedBlock, num_streams: int) -> list[memoryview]:
    ends = list(accumulate(block.facts.stream_bytes, initial=0))
    if len(ends) != num_streams + 1:
        raise WindowError(f"a block has {len(ends) - 1} streams, it needs {num_streams}")
    payload = memoryview(block.payload)
    return [payload[start:stop] for start, stop in pairwise(ends)]


def _sizes(block: EncodedBlock, width_bytes: int) -> tuple[int, ...]:
    """Bytes of the streams when they are unpacked."""
    kind, _, num_entries, num_far, *_ = block.facts
    if kind == "sparse":
        return num_entries, num_entries // 2, num_far, num_far * width_bytes
    return () if kind == "unchanged" else (block.num_elements,) * width_bytes


def _decode_all(
    kind: Kind, streams: Sequence[Bytes], width_bytes: int, device: torch.device | str
) -> Change:
    if kind == "unchanged":
        nothing = torch.empty(0, dtype=torch.int64, device=device)
        return Change(nothing, nothing.to(INTEGERS[width_bytes]))
    integer_N = unpack_planes([np.concatenate(streams)], width_bytes)
    if kind == "whole":
        return Change(None, torch.from_numpy(integer_N).to(device), is_whole=True)
    return Change(None, torch.from_numpy(unfold(integer_N)).to(device))


def _decode_sparse(
    blocks: Sequence[EncodedBlock],
    streams: Sequence[Sequence[Bytes]],
    width_bytes: int,
    device: torch.device | str,
) -> list[Change]:
    if not blocks:
        return []
    advances, halves, far_advances, far_planes = zip(*streams, strict=True)
    advance_E = _joined(advances, device)
    entry_F = _joined(far_advances, device).cumsum(0)
    # A place more, for the end of the last block is an entry too.
    move_E = torch.zeros(len(advance_E) + 1, dtype=INTEGERS[width_bytes], device=device)
    move_E[:-1] = unpack_halves(_joined(halves, device))
    if int(entry_F[-1]) != len(advance_E):
        raise WindowError(
            f"far moves of blocks end at entry {int(entry_F[-1])} of {len(advance_E)}"
        )
    far_F = torch.from_numpy(unfold(unpack_planes(far_planes, width_bytes))).to(device)
    move_E.scatter_add_(0, entry_F, far_F)
    position_E = torch.empty(len(advance_E), dtype=torch.int64, device=device)
    nums = [block.facts.num_entries for block in blocks]
    position_of = torch.split(position_E, nums)
    for position_C, advance_C in zip(position_of, torch.split(advance_E, nums), strict=True):
        torch.cumsum(advance_C, 0, out=position_C)
    lasts = position_E[torch.tensor(list(accumulate(nums))) - 1].tolist()
    for last, block in zip(lasts, blocks, strict=True):
        if last >= block.num_elements:
            raise WindowError(f"a block changes element {last} of {block.num_elements}")
    return list(map(Change, position_of, torch.split(move_E[:-1], nums)))


def _joined(streams: Sequence[Bytes], device: torch.device | str) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(streams)).to(device)

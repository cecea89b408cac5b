import numpy as np
import pytest
import torch
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from relex.errors import WindowError
from relex.window.codec.patterns import checksum, joined_moves, split_moves
from relex.window.codec.streams import (
    compress,
    decompress,
    most_gap_bytes,
    pack_gaps,
    pack_planes,
    unpack_gaps,
    unpack_planes,
)

WIDTHS_BYTES = [1, 2, 4, 8]


def positions(values) -> np.ndarray:
    return np.array(sorted(values), dtype=np.int64)


@given(st.sets(st.integers(0, 5000), min_size=1))
def test_positions_come_back_from_their_gaps(values) -> None:
    codes = pack_gaps(positions(values))
    assert unpack_gaps(codes, len(values), 5001).tolist() == sorted(values)


@given(st.sets(st.integers(0, 5000), min_size=1))
def test_gaps_take_no_more_bytes_than_announced(values) -> None:
    assert len(pack_gaps(positions(values))) <= most_gap_bytes(len(values), max(values) + 1)


@pytest.mark.parametrize("gap", [0, 1, 253, 254, 255, 256, 509, 510, 511])
def test_gaps_around_the_escape_come_back(gap) -> None:
    values = [3, 3 + gap + 1]
    assert unpack_gaps(pack_gaps(positions(values)), 2, 1000).tolist() == values


def test_positions_beyond_32_bits_come_back() -> None:
    values = [0, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 7]
    codes = pack_gaps(positions(values))
    assert unpack_gaps(codes, len(values), 2**32 + 8).tolist() == values


@pytest.mark.parametrize(
    ("codes", "num_changed", "message"),
    [
        ([0, 0], 3, "has 2 positions, it announces 3"),
        ([0, 255], 1, "does not end"),
        ([], 1, "has 0 positions, it announces 1"),
        ([200, 200], 2, "changes element 401 of 300"),
    ],
)
def test_impossible_gaps_are_errors(codes, num_changed, message) -> None:
    with pytest.raises(WindowError, match=message):
        unpack_gaps(np.array(codes, np.uint8), num_changed, 300)


@given(st.sampled_from(WIDTHS_BYTES), st.binary(min_size=0, max_size=64))
def test_byte_planes_come_back(width_bytes, data) -> None:
    patterns = np.frombuffer(data * width_bytes, f"<u{width_bytes}")
    assert unpack_planes(pack_planes(patterns)).tobytes() == data * width_bytes


def test_a_plane_holds_the_same_byte_of_every_pattern() -> None:
    planes = pack_planes(np.array([0x0102, 0x0304], "<u2"))
    assert [plane.tolist() for plane in planes] == [[0x02, 0x04], [0x01, 0x03]]


@given(st.sampled_from(WIDTHS_BYTES), st.data())
def test_moves_between_any_patterns_are_exact(width_bytes, data) -> None:
    values = st.lists(st.integers(0, 2 ** (8 * width_bytes) - 1), min_size=3, max_size=3)
    old, new = (np.array(data.draw(values), f"<u{width_bytes}") for _ in range(2))
    assert (old + joined_moves(*split_moves(old, new))).tolist() == new.tolist()


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_checksum_tells_elements_apart_that_differ_in_two_places(data, draw) -> None:
    """Two, because one move up and one down outweigh each other in a plain sum."""
    before = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    after = before.clone()
    first, second = (draw.draw(st.integers(0, len(data) - 1)) for _ in range(2))
    after[first] += 1
    after[second] -= 1
    assert (checksum(before) == checksum(after)) == (first == second)


def test_a_checksum_is_that_of_the_formula_in_any_dtype() -> None:
    data = bytes(range(1, 60)) + bytes(5)
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, 64, 8)]
    factors = [place * 0x1E3779B97F4A7C15 % 2**64 for place in range(1, 9)]
    signed = [factor - 2**64 if factor >= 2**63 else factor for factor in factors]
    odd = [(factor ^ factor >> 29) | 1 for factor in signed]
    expected = sum(word * factor for word, factor in zip(words, odd, strict=True)) % 2**64
    whole = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    assert checksum(whole[:59]) == checksum(whole.view(torch.bfloat16)) == expected


def test_neighbouring_numbers_are_one_apart() -> None:
    old = np.array([1.0, -1.0], np.float32)
    new = np.nextafter(old, np.float32(2.0))
    negative, size = split_moves(old.view("<u4"), new.view("<u4"))
    assert size.tolist() == [1, 1]
    assert negative.tolist() == [False, True]


def test_a_stream_larger_than_allowed_is_refused_before_it_is_unpacked() -> None:
    bomb = compress(np.zeros(1 << 24, np.uint8))
    with pytest.raises(WindowError, match="announces 16777216 bytes, at most 1000 fit"):
        decompress(bomb, 1000)


def test_a_stream_that_lies_about_its_size_is_refused() -> None:
    bomb = bytearray(compress(np.zeros(1 << 24, np.uint8)))
    size = bomb.index((1 << 24).to_bytes(4, "little"))
    bomb[size : size + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(WindowError, match="cannot be decompressed"):
        decompress(bytes(bomb), 1000)


def test_a_stream_that_hides_its_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"abc")
    with pytest.raises(WindowError, match="announces no size"):
        decompress(frame, 1000)


def test_bytes_after_a_stream_are_refused() -> None:
    with pytest.raises(WindowError, match="cannot be decompressed"):
        decompress(compress(np.zeros(3, np.uint8)) + b"x", 1000)

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relex.errors import WindowError
from relex.window.codec.patterns import checksum
from relex.window.codec.streams import (
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

WIDTHS_BYTES = [1, 2, 4, 8]


def unpacked_positions(advances: np.ndarray, entries: np.ndarray) -> list[int]:
    return np.cumsum(advances, dtype=np.int64)[entries].tolist()


@given(st.sets(st.integers(0, 5000), min_size=1))
def test_positions_come_back_from_their_advances(values) -> None:
    advances, entries = pack_positions(np.array(sorted(values)))
    assert unpacked_positions(advances, entries) == sorted(values)
    assert len(advances) % 2 == 0


@pytest.mark.parametrize("gap", [1, 254, 255, 256, 509, 510, 511, 765])
def test_advances_around_a_byte_come_back(gap) -> None:
    values = [3, 3 + gap]
    assert unpacked_positions(*pack_positions(np.array(values))) == values


@given(st.lists(st.integers(-7, 7), min_size=1))
def test_halves_come_back(values) -> None:
    halves = pack_halves(np.array(2 * values, np.int16))
    assert len(halves) == len(values)
    assert unpack_halves(torch.from_numpy(halves)).tolist() == 2 * values


@given(st.sampled_from(WIDTHS_BYTES), st.lists(st.binary(max_size=64), min_size=1))
def test_byte_planes_come_back(width_bytes, parts) -> None:
    integers = [np.frombuffer(data * width_bytes, f"<i{width_bytes}") for data in parts]
    planes = [pack_planes(part) for part in integers]
    assert unpack_planes(planes, width_bytes).tolist() == np.concatenate(integers).tolist()


def test_a_plane_holds_the_same_byte_of_every_integer() -> None:
    planes = pack_planes(np.array([0x0102, 0x0304], "<i2"))
    assert planes.tolist() == [0x02, 0x04, 0x01, 0x03]


def test_small_integers_of_both_signs_are_small_when_folded() -> None:
    assert fold(np.array([0, -1, 1, -2, 2], np.int16)).tolist() == [0, 1, 2, 3, 4]


@given(st.sampled_from(WIDTHS_BYTES), st.binary(max_size=64))
def test_folded_integers_come_back(width_bytes, data) -> None:
    integers = np.frombuffer(data * width_bytes, f"<i{width_bytes}")
    assert unfold(fold(integers)).tolist() == integers.tolist()


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


def test_streams_that_zstd_does_not_shrink_stay_as_they_are() -> None:
    noise, zeros = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
    packed = [compress(noise), compress(zeros)]
    assert packed[0] == noise.tobytes()
    assert len(packed[1]) < 50
    found = decompress(list(map(memoryview, packed)), [256, 256])
    assert [stream.tobytes() for stream in found] == [noise.tobytes(), zeros.tobytes()]


@pytest.mark.parametrize("num_bytes", [0, 1000, (1 << 24) - 1, (1 << 24) + 1])
def test_a_stream_of_another_size_is_refused(num_bytes) -> None:
    bomb = compress(np.zeros(1 << 24, np.uint8))
    with pytest.raises(WindowError, match="cannot be unpacked"):
        decompress([memoryview(bomb)], [num_bytes])


def test_a_stream_that_lies_about_its_size_is_refused() -> None:
    bomb = bytearray(compress(np.zeros(1 << 24, np.uint8)))
    size = bomb.index((1 << 24).to_bytes(4, "little"))
    bomb[size : size + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(WindowError, match="cannot be unpacked"):
        decompress([memoryview(bomb)], [1000])

"""Directions on disk: what was written is read back, in any span, by us and by safetensors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from relex.errors import CheckpointError, FactorsError
from relex.extrapolation import open_factors
from relex.extrapolation.directions_file import (
    COUNT_ELEMENTS,
    DIRECTIONS_FILE,
    DirectionsFile,
    DirectionsWriter,
    count_bits,
    pack_bits,
    unpack_bits,
)

RANK = 2
SPAN = 1 << 10


def random_directions(num_elements: int, fraction: float) -> torch.Tensor:
    """R x N; a column of zeros where an element did not move."""
    generator = torch.Generator().manual_seed(num_elements)
    is_moved_N = torch.rand(num_elements, generator=generator) < fraction
    return torch.randn(RANK, num_elements, generator=generator) * is_moved_N


def write(folder: Path, direction_of: dict[str, torch.Tensor], rank: int = RANK) -> DirectionsFile:
    """The last span of every tensor first."""
    num_elements = {name: d_RN.shape[1] for name, d_RN in direction_of.items()}
    with DirectionsWriter(folder / DIRECTIONS_FILE, num_elements, rank) as writer:
        for name, direction_RN in direction_of.items():
            is_moved_N = direction_RN.ne(0).any(0)
            writer.add(name, int(is_moved_N.sum()))
            for start in reversed(range(0, num_elements[name], SPAN)):
                moved_n = is_moved_N[start : start + SPAN]
                writer.put(
                    name,
                    start,
                    pack_bits(moved_n.numpy()),
                    int(is_moved_N[:start].sum()),
                    direction_RN[:, start : start + SPAN][:, moved_n],
                )
    return DirectionsFile(folder)


@pytest.mark.parametrize("num_elements", [1, 63, 64, 65, SPAN, 3 * SPAN + 7])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 1.0])
def test_any_span_reads_back(tmp_path: Path, num_elements: int, fraction: float) -> None:
    direction_RN = random_directions(num_elements, fraction)
    file = write(tmp_path, {"first": random_directions(5, 1.0), "w": direction_RN})
    assert file.num_elements("w") == num_elements
    ends = sorted({0, 1, 7, num_elements // 2, num_elements - 1, num_elements})
    for start in ends:
        for stop in ends:
            if start <= stop <= num_elements:
                position_M, direction_MR = file.read("w", start, stop)
                expected_RN = direction_RN[:, start:stop]
                assert position_M.tolist() == expected_RN.ne(0).any(0).nonzero()[:, 0].tolist()
                assert torch.equal(direction_MR.T, expected_RN[:, position_M])


def test_spans_behind_many_elements_are_found(tmp_path: Path) -> None:
    num_elements = 2 * COUNT_ELEMENTS + 100
    direction_RN = random_directions(num_elements, 0.01)
    file = write(tmp_path, {"w": direction_RN, "other": random_directions(9, 1.0)})
    for start in (0, COUNT_ELEMENTS - 3, 2 * COUNT_ELEMENTS, num_elements - 5):
        file.read("other", 0, 9)
        position_M, direction_MR = file.read("w", start, min(start + 5000, num_elements))
        assert torch.equal(direction_MR.T, direction_RN[:, start + position_M])


def test_safetensors_reads_the_file(tmp_path: Path) -> None:
    direction_RN = random_directions(77, 0.3)
    write(tmp_path, {"odd": random_directions(3, 1.0), "w": direction_RN})
    found = load_file(tmp_path / DIRECTIONS_FILE)
    is_moved_N = unpack_bits(found["w.moved"].numpy(), 77)
    assert is_moved_N.tolist() == direction_RN.ne(0).any(0).tolist()
    assert torch.equal(found["w"], direction_RN.T[torch.from_numpy(is_moved_N)])


def test_absent_directions_are_columns_of_zeros(tmp_path: Path) -> None:
    direction_1N = random_directions(100, 0.5)[:1]
    _, direction_MR = write(tmp_path, {"w": direction_1N}, rank=3).read("w", 0, 100)
    assert direction_MR.shape[1] == 3
    assert bool((direction_MR[:, 0] != 0).all())
    assert not bool(direction_MR[:, 1:].any())


def test_bits_are_counted_and_padded_to_words() -> None:
    is_moved_N = np.arange(100) % 3 == 0
    moved = pack_bits(is_moved_N)
    assert len(moved) == 16
    assert count_bits(moved) == 34
    assert np.array_equal(unpack_bits(moved, 100), is_moved_N)


def test_a_tensor_whose_span_is_missing_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(CheckpointError, match=r"w\.moved got 0 of its 16 elements"),
        DirectionsWriter(tmp_path / DIRECTIONS_FILE, {"w": 100}, 1) as writer,
    ):
        writer.add("w", 40)


def test_only_moved_elements_take_room(lab) -> None:
    """One element in a hundred moves: a bit for each, and four bytes for those."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(200_000, generator=generator).bfloat16()
    moves = torch.rand(200_000, generator=generator) < 0.01
    snapshots = {s: {"w": torch.where(moves, start * (1 + s / 8), start)} for s in (1, 2, 3)}
    base = lab.base({"w": start})
    factors = lab.fit(snapshots, base)
    num_bytes = (factors.folder / DIRECTIONS_FILE).stat().st_size
    assert num_bytes < 200_000 / 8 + 4 * int(moves.sum()) + 1000
    assert torch.equal(factors.read_directions("w")[:, 0] != 0, moves & (start != 0))


def test_a_file_that_was_cut_after_it_was_opened_is_told(lab) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(1000, generator=generator)
    snapshots = {step: {"w": start * (1 + step / 8)} for step in (1, 2)}
    factors = open_factors(lab.fit(snapshots, lab.base({"w": start})).folder)
    path = factors.folder / DIRECTIONS_FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FactorsError, match=r"factors\.safetensors: w ends early; copy the file"):
        factors.read_directions("w")

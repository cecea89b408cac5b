"""Bases on disk: what was written is read back, in any span, by us and by safetensors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from relex.errors import CheckpointError, FactorsError
from relex.extrapolation import (
    find_method,
    open_factors,
    predict_tensors,
)
from relex.extrapolation.basis_file import (
    BASIS_FILE,
    COUNT_ELEMENTS,
    BasisFile,
    BasisWriter,
    count_bits,
    pack_bits,
    unpack_bits,
)
from tests.displacements import predict_displacement

NUM_SUMS = 2
NUM_SNAPSHOTS = 3
SPAN = 1 << 10


def random_vectors(num_elements: int, fraction: float) -> torch.Tensor:
    """Sums, then snapshots: (B + K) x N; a column of zeros where an element did not move."""
    generator = torch.Generator().manual_seed(num_elements)
    is_moved_N = torch.rand(num_elements, generator=generator) < fraction
    vector_VN = torch.randn(NUM_SUMS + NUM_SNAPSHOTS, num_elements, generator=generator)
    return vector_VN.bfloat16().float() * is_moved_N


def write(folder: Path, vectors_of: dict[str, torch.Tensor]) -> BasisFile:
    """The last span of every tensor first; snapshots are bfloat16."""
    num_elements = {name: vector_VN.shape[1] for name, vector_VN in vectors_of.items()}
    with BasisWriter(folder / BASIS_FILE, num_elements) as writer:
        for name, vector_VN in vectors_of.items():
            is_moved_N = vector_VN.ne(0).any(0)
            num_moved = int(is_moved_N.sum())
            writer.add(name, num_moved, NUM_SUMS, NUM_SNAPSHOTS, torch.bfloat16)
            for start in reversed(range(0, num_elements[name], SPAN)):
                stop = min(start + SPAN, num_elements[name])
                position_M = is_moved_N[start:stop].nonzero()[:, 0]
                vector_VM = vector_VN[:, start + position_M]
                writer.put(
                    name,
                    (start, stop),
                    position_M,
                    int(is_moved_N[:start].sum()),
                    vector_VM[:NUM_SUMS],
                    vector_VM[NUM_SUMS:].bfloat16(),
                )
    return BasisFile(folder)


def read(file: BasisFile, name: str, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions, and all vectors there; snapshots of a base of zeros."""
    span = file.read(name, start, stop)
    zero_M = torch.zeros(len(span.position_M))
    snapshots = [span.snapshot(row, zero_M) for row in range(NUM_SNAPSHOTS)]
    return span.position_M, torch.stack([*map(span.sum, range(NUM_SUMS)), *snapshots])


@pytest.mark.parametrize("num_elements", [1, 63, 64, 65, SPAN, 3 * SPAN + 7])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 1.0])
def test_any_span_reads_back(tmp_path: Path, num_elements: int, fraction: float) -> None:
    vector_VN = random_vectors(num_elements, fraction)
    file = write(tmp_path, {"first": random_vectors(5, 1.0), "w": vector_VN})
    assert int(file.file.metadata["w"]) == num_elements
    ends = sorted({0, 1, 7, num_elements // 2, num_elements - 1, num_elements})
    for start in ends:
        for stop in ends:
            if start <= stop <= num_elements:
                position_M, vector_VM = read(file, "w", start, stop)
                expected_VN = vector_VN[:, start:stop]
                assert position_M.tolist() == expected_VN.ne(0).any(0).nonzero()[:, 0].tolist()
                assert torch.equal(vector_VM, expected_VN[:, position_M])


def test_spans_behind_many_elements_are_found(tmp_path: Path) -> None:
    num_elements = 2 * COUNT_ELEMENTS + 100
    vector_VN = random_vectors(num_elements, 0.01)
    file = write(tmp_path, {"w": vector_VN, "other": random_vectors(9, 1.0)})
    for start in (0, COUNT_ELEMENTS - 3, 2 * COUNT_ELEMENTS, num_elements - 5):
        file.read("other", 0, 9)
        position_M, vector_VM = read(file, "w", start, min(start + 5000, num_elements))
        assert torch.equal(vector_VM, vector_VN[:, start + position_M])


def test_safetensors_reads_the_file(tmp_path: Path) -> None:
    vector_VN = random_vectors(77, 0.3)
    write(tmp_path, {"odd": random_vectors(3, 1.0), "w": vector_VN})
    found = load_file(tmp_path / BASIS_FILE)
    is_moved_N = unpack_bits(found["w.moved"].numpy(), 77)
    assert is_moved_N.tolist() == vector_VN.ne(0).any(0).tolist()
    expected_VM = vector_VN[:, torch.from_numpy(is_moved_N)]
    assert torch.equal(found["w"], expected_VM[:NUM_SUMS])
    assert torch.equal(found["w.snapshots"].float(), expected_VM[NUM_SUMS:])


def test_a_snapshot_is_read_as_its_displacement(tmp_path: Path) -> None:
    file = write(tmp_path, {"w": random_vectors(100, 0.5)})
    span = file.read("w", 10, 90)
    start_M = torch.randn(len(span.position_M)).bfloat16()
    displacement_M = span.snapshot(1, start_M)
    zero_M = torch.zeros(len(span.position_M))
    assert torch.equal(displacement_M, span.snapshot(1, zero_M) - start_M.float())


def test_bits_are_counted_and_padded_to_words() -> None:
    is_moved_N = np.arange(100) % 3 == 0
    moved = pack_bits(is_moved_N)
    assert len(moved) == 16
    assert count_bits(moved) == 34
    assert np.array_equal(unpack_bits(moved, 100), is_moved_N)


def test_a_tensor_whose_span_is_missing_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(CheckpointError, match=r"w\.moved got 0 of its 16 elements"),
        BasisWriter(tmp_path / BASIS_FILE, {"w": 100}) as writer,
    ):
        writer.add("w", 40, 1, 0, torch.float32)


def test_only_moved_elements_take_room(lab) -> None:
    """One element in a hundred moves: a bit for each, and the basis of those."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(200_000, generator=generator).bfloat16()
    moves = torch.rand(200_000, generator=generator) < 0.01
    snapshots = {s: {"w": torch.where(moves, start * (1 + s / 8), start)} for s in (1, 2, 3)}
    base = lab.base({"w": start})
    for methods, num_bytes_each in ((("line",), 4), (("line", "secant", "anchored"), 8)):
        factors = lab.fit(snapshots, base, methods=methods)
        num_bytes = (factors.folder / BASIS_FILE).stat().st_size
        assert num_bytes < 200_000 / 8 + num_bytes_each * int(moves.sum()) + 1000
        assert torch.equal(predict_displacement(factors, "w", 9) != 0, moves & (start != 0))


def test_a_file_that_was_cut_after_it_was_opened_is_told(lab) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(1000, generator=generator)
    snapshots = {step: {"w": start * (1 + step / 8)} for step in (1, 2)}
    base = lab.base({"w": start})
    factors = open_factors(lab.fit(snapshots, base).folder)
    path = factors.folder / BASIS_FILE
    for num_bytes, text, cut in ((100, "secant", r"w\.snapshots"), (8_050, "line", "w")):
        path.write_bytes(path.read_bytes()[:-num_bytes])
        with pytest.raises(FactorsError, match=rf"factors\.safetensors: {cut} ends early; copy"):
            dict(predict_tensors(factors, base, 9, find_method(text)))

"""A fit in parts, joined, has the bits of a single fit."""

from pathlib import Path

import pytest
import torch

from relex.checkpoints import Checkpoint
from relex.errors import FactorsError, InputError
from relex.extrapolation import Factors, fit_factors, merge_factors, open_factors, predict_tensors
from relex.extrapolation.factors import BASIS_FILE, TABLE_FILE
from relex.extrapolation.parts import tensors_of_part
from relex.window import Window, open_window

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return Checkpoint(GOLDEN / "base")


@pytest.fixture(scope="module")
def window() -> Window:
    return open_window(str(GOLDEN / "steps"))


@pytest.fixture
def fit_part(base, window, tmp_path):
    def fit_part(number: int, num_parts: int, **options) -> Path:
        out = tmp_path / f"part-{len(list(tmp_path.iterdir()))}"
        fit_factors(window, base, out, part=(number, num_parts), device="cpu", **options)
        return out

    return fit_part


def file_bytes(factors: Factors) -> list[bytes]:
    return [(factors.folder / name).read_bytes() for name in (TABLE_FILE, BASIS_FILE)]


@pytest.mark.parametrize("num_parts", [1, 3, 60])
def test_the_parts_of_a_base_are_its_tensors_in_order(base, num_parts) -> None:
    parts = [tensors_of_part(base, (number, num_parts)) for number in range(1, num_parts + 1)]
    assert [name for part in parts for name in part] == list(base.tensors)


def test_joined_parts_equal_a_single_fit_bit_for_bit(base, window, fit_part, tmp_path) -> None:
    parts = [fit_part(number, 3, rank=2) for number in (3, 1, 2)]
    merged = merge_factors(parts, tmp_path / "merged")
    single = fit_factors(window, base, tmp_path / "single", rank=2, device="cpu")
    assert file_bytes(merged) == file_bytes(single)


def test_a_part_cannot_predict(base, fit_part) -> None:
    with pytest.raises(FactorsError, match="is part 1 of 2; join all parts with relex merge"):
        predict_tensors(open_factors(fit_part(1, 2)), base, 20)


def test_a_missing_part_is_named(fit_part, tmp_path) -> None:
    with pytest.raises(FactorsError, match="part 2 of 3 is there 0 times; give each once"):
        merge_factors([fit_part(1, 3), fit_part(3, 3)], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_part_that_is_given_twice_is_named(fit_part, tmp_path) -> None:
    part = fit_part(1, 2)
    with pytest.raises(FactorsError, match="part 1 of 2 is there 2 times"):
        merge_factors([part, part, fit_part(2, 2)], tmp_path / "merged")


def test_parts_of_different_fits_are_refused(fit_part, tmp_path) -> None:
    parts = [fit_part(1, 2), fit_part(2, 2, rank=2)]
    with pytest.raises(FactorsError, match="belongs to another fit than"):
        merge_factors(parts, tmp_path / "merged")


def test_whole_factors_are_no_part(base, window, tmp_path) -> None:
    whole = fit_factors(window, base, tmp_path / "whole", device="cpu")
    with pytest.raises(FactorsError, match="is whole already; give the parts of one fit"):
        merge_factors([whole.folder], tmp_path / "merged")


def test_no_parts_are_refused(tmp_path) -> None:
    with pytest.raises(FactorsError, match="no parts to merge"):
        merge_factors([], tmp_path / "merged")


def test_a_folder_that_exists_is_not_overwritten(fit_part, tmp_path) -> None:
    (tmp_path / "merged").mkdir()
    with pytest.raises(InputError, match="exists already"):
        merge_factors([fit_part(1, 1)], tmp_path / "merged")


def test_a_part_reads_only_its_tensors(lab, base) -> None:
    start = {name: torch.zeros(100) for name in "abcd"}
    window = lab.window({s: {n: t + s for n, t in start.items()} for s in (1, 2)})
    lab.fit_window(window, lab.base(start), part=(2, 4))
    assert window.num_elements_read == 2 * 100

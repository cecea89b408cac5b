"""Every bad input ends in one message that names it, and leaves no folder."""

import re
from pathlib import Path

import pytest
import torch

from relex.errors import CheckpointError, FactorsError, InputError, ResourceError, WindowError
from relex.extrapolation import open_factors, predict_tensors
from relex.extrapolation.factors import BASIS_FILE, TABLE_FILE

START = {"a": torch.zeros(4), "b": torch.zeros(2, 2)}


def moved(step: int) -> dict[str, torch.Tensor]:
    return {name: tensor + step for name, tensor in START.items()}


@pytest.fixture
def base(lab):
    return lab.base(START)


def left_behind(lab) -> list[str]:
    return [path.name for path in lab.folder.iterdir() if "factors" in path.name]


def test_one_snapshot_is_no_line(lab, base) -> None:
    with pytest.raises(WindowError, match="has 1 snapshots in steps 5 to 5; a line needs at least"):
        lab.fit({5: moved(5)}, base)


def test_no_snapshot_is_no_line(lab, base) -> None:
    with pytest.raises(WindowError, match="has 0 snapshots"):
        lab.fit({}, base)


def test_a_rank_above_the_number_of_snapshots_is_refused(lab, base) -> None:
    with pytest.raises(FactorsError, match="rank 3 is impossible with 2 snapshots; choose 1 to 2"):
        lab.fit({1: moved(1), 2: moved(2)}, base, rank=3)


def test_steps_beyond_the_window_are_refused(lab, base) -> None:
    with pytest.raises(WindowError, match="ends at step 2, asked for steps up to 75"):
        lab.fit({1: moved(1), 2: moved(2)}, base, steps=(1, 75))


def test_only_the_steps_asked_for_are_used(lab, base) -> None:
    snapshots = {step: moved(step) for step in (1, 2, 3, 5)}
    assert lab.fit(snapshots, base, steps=(2, 4)).table.steps == (2, 3)


def test_a_window_of_another_base_is_refused(lab, base, memory_window) -> None:
    window = memory_window({1: moved(1), 2: moved(2)}, base_digest="0" * 64)
    with pytest.raises(WindowError, match=r"was made from another base than .* 000000000000 and"):
        lab.fit_window(window, base)


def test_a_window_of_this_base_is_taken(lab, base, memory_window) -> None:
    window = memory_window({1: moved(1), 2: moved(2)}, base_digest=base.digest())
    assert lab.fit_window(window, base).table.base_digest == base.digest()


def test_a_missing_tensor_is_named(lab, base) -> None:
    with pytest.raises(CheckpointError, match="lacks b, which the base has"):
        lab.fit({s: {"a": moved(s)["a"]} for s in (1, 2)}, base)


def test_an_extra_tensor_is_named(lab, base) -> None:
    with pytest.raises(CheckpointError, match="has extra, which the base lacks"):
        lab.fit({s: moved(s) | {"extra": torch.zeros(1)} for s in (1, 2)}, base)


def test_another_shape_is_named(lab, base) -> None:
    with pytest.raises(
        CheckpointError, match=re.escape("a is float32[5], in the base it is float32[4]")
    ):
        lab.fit({s: moved(s) | {"a": torch.zeros(5)} for s in (1, 2)}, base)


def test_integers_where_the_base_has_floats_are_refused(lab, base) -> None:
    with pytest.raises(
        CheckpointError, match=r"a is torch\.int64, in the base it is torch\.float32"
    ):
        lab.fit({s: moved(s) | {"a": torch.zeros(4).long()} for s in (1, 2)}, base)


def test_quantised_weights_are_refused(lab, base) -> None:
    quantised = {"a": torch.zeros(4).to(torch.float8_e4m3fn)}
    with pytest.raises(CheckpointError, match=r"a is quantised \(torch.float8_e4m3fn\)"):
        lab.fit({s: moved(s) | quantised for s in (1, 2)}, base)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_named_by_step_and_tensor(lab, base, value) -> None:
    bad = moved(2) | {"b": torch.tensor([[1.0, value], [1.0, 1.0]])}
    with pytest.raises(WindowError, match="step 2: b has values that are not finite"):
        lab.fit({1: moved(1), 2: bad, 3: moved(3)}, base)
    assert left_behind(lab) == []


def test_a_base_that_is_not_finite_is_named(lab) -> None:
    base = lab.base(START | {"a": torch.full((4,), float("nan"))})
    with pytest.raises(CheckpointError, match=r"base-0: a has values that are not finite"):
        lab.fit({1: moved(1), 2: moved(2)}, base)


def test_a_folder_that_exists_is_not_overwritten(lab, base) -> None:
    (lab.folder / "factors-1").mkdir()
    with pytest.raises(InputError, match="factors-1: exists already"):
        lab.fit({1: moved(1), 2: moved(2)}, base)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_refused(lab, base) -> None:
    with pytest.raises(ResourceError, match="device cuda: this machine has no usable GPU"):
        lab.fit({1: moved(1), 2: moved(2)}, base, device="cuda")


@pytest.mark.parametrize("target", [1, 2])
def test_a_target_inside_the_window_is_refused(lab, base, target) -> None:
    factors = lab.fit({1: moved(1), 2: moved(2)}, base)
    with pytest.raises(FactorsError, match=f"step {target} is not beyond the window, which ends"):
        predict_tensors(factors, base, target)


def test_factors_of_another_base_are_refused(lab, base) -> None:
    factors = lab.fit({1: moved(1), 2: moved(2)}, base)
    other = lab.base({name: tensor + 1 for name, tensor in START.items()})
    with pytest.raises(FactorsError, match="was fitted on another base"):
        predict_tensors(factors, other, 9)


def test_factors_without_a_manifest_are_refused(lab, base) -> None:
    factors = lab.fit({1: moved(1), 2: moved(2)}, base)
    (factors.folder / "manifest.json").unlink()
    with pytest.raises(FactorsError, match="has no manifest, so it holds no finished factors"):
        open_factors(factors.folder)


def test_a_folder_that_is_missing_holds_no_factors(tmp_path: Path) -> None:
    with pytest.raises(FactorsError, match="has no manifest"):
        open_factors(tmp_path / "nothing")


@pytest.mark.parametrize("name", [TABLE_FILE, BASIS_FILE])
def test_truncated_factors_are_refused(lab, base, name) -> None:
    factors = lab.fit({1: moved(1), 2: moved(2)}, base)
    path = factors.folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FactorsError, match=f"{name}: has .* bytes, its manifest says"):
        open_factors(factors.folder)


def test_a_damaged_table_is_refused(lab, base) -> None:
    path = lab.fit({1: moved(1), 2: moved(2)}, base).folder / TABLE_FILE
    path.write_bytes(b"[" + path.read_bytes()[1:])
    with pytest.raises(FactorsError, match=r"factors\.json: damaged"):
        open_factors(path.parent)


def test_damaged_directions_are_refused(lab, base) -> None:
    path = lab.fit({1: moved(1), 2: moved(2)}, base).folder / BASIS_FILE
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])
    with pytest.raises(FactorsError, match=r"factors\.safetensors: truncated or not a safe"):
        open_factors(path.parent)


def test_reopened_factors_are_equal(lab, base) -> None:
    factors = lab.fit({1: moved(1), 2: moved(2)}, base)
    assert open_factors(factors.folder).table == factors.table

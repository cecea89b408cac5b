"""`relex extrapolate`, `merge` and the options of `predict`; every bad window in one line."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from relex.checkpoints import Checkpoint
from relex.cli.app import main
from relex.extrapolation import find_method, open_factors, predict_tensors

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"
BASE, STEPS = str(GOLDEN / "base"), str(GOLDEN / "steps")
NORM = "model.norm.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def relex(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command; returns its exit code and what it wrote to standard error."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["relex", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    return run


@pytest.fixture
def fit(relex, tmp_path):
    """`relex fit` of some window on the CPU; returns what `relex` does."""

    def fit(window: object, *options: object, base: object = BASE) -> tuple[int, str]:
        out = tmp_path / "out"
        return relex("fit", window, "--base", base, "--out", out, "--device", "cpu", *options)

    return fit


@pytest.fixture
def window(tmp_path: Path) -> Path:
    """A copy of the first three golden snapshots."""
    for step in (1, 2, 3):
        folder = f"global_step_{step}"
        shutil.copytree(GOLDEN / "steps" / folder, tmp_path / "window" / folder)
    return tmp_path / "window"


def weights_file(window: Path, step: int = 2) -> Path:
    return window / f"global_step_{step}" / "model.safetensors"


def change(window: Path, edit: Callable[[Tensors], object]) -> None:
    """Edit the tensors of step 2."""
    tensors = load_file(weights_file(window))
    edit(tensors)
    save_file(tensors, weights_file(window), {"format": "pt"})


def as_float8(tensors: Tensors) -> None:
    tensors[NORM] = tensors[NORM].to(torch.float8_e4m3fn)


def no_number(tensors: Tensors) -> None:
    tensors[NORM][3] = torch.nan


DAMAGE = {
    "a missing tensor": (
        lambda t: t.pop(NORM),
        "step 2: lacks model.norm.weight, which the base has",
    ),
    "an extra tensor": (
        lambda t: t.update(extra=torch.zeros(3)),
        "step 2: has extra, which the base lacks",
    ),
    "another shape": (
        lambda t: t.update({NORM: torch.ones(65).bfloat16()}),
        "step 2: model.norm.weight is bfloat16[65], in the base it is bfloat16[64]",
    ),
    "another dtype": (
        lambda t: t.update({NORM: t[NORM].float()}),
        "step 2: model.norm.weight is float32[64], in step 1 it is bfloat16[64]",
    ),
    "quantised weights": (as_float8, "step 2: model.norm.weight is float8_e4m3fn[64]"),
    "NaN": (no_number, "step 2: model.norm.weight has values that are not finite"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_snapshot_is_one_line_and_exit_code_2(fit, window, tmp_path, name) -> None:
    edit, message = DAMAGE[name]
    change(window, edit)
    exit_code, error = fit(window)
    assert (exit_code, error.count("\n")) == (2, 1)
    assert message in error
    assert not (tmp_path / "out").exists()


def test_a_truncated_file_is_one_line_and_exit_code_2(fit, window) -> None:
    path = weights_file(window)
    path.write_bytes(path.read_bytes()[:-100])
    exit_code, error = fit(window)
    assert (exit_code, error.count("\n")) == (2, 1)
    assert "global_step_2/model.safetensors: truncated or damaged" in error


def test_a_step_that_is_there_twice_is_one_line_and_exit_code_2(fit, window) -> None:
    shutil.copytree(window / "global_step_2", window / "checkpoint-2")
    exit_code, error = fit(window)
    assert (exit_code, error.count("\n")) == (2, 1)
    assert "holds step 2 twice: checkpoint-2, global_step_2" in error


def test_a_base_of_another_shape_is_one_line_and_exit_code_2(fit, window, tmp_path) -> None:
    tensors = load_file(Path(BASE) / "model.safetensors")
    (tmp_path / "base").mkdir()
    tensors[NORM] = torch.ones(65).bfloat16()
    save_file(tensors, tmp_path / "base" / "model.safetensors", {"format": "pt"})
    exit_code, error = fit(window, base=tmp_path / "base")
    assert (exit_code, error.count("\n")) == (2, 1)
    assert "model.norm.weight is bfloat16[64], in the base it is bfloat16[65]" in error


@pytest.mark.parametrize("part", ["0/2", "3/2", "two"])
def test_an_impossible_part_is_one_line_and_exit_code_2(fit, part) -> None:
    exit_code, error = fit(STEPS, "--part", part)
    assert (exit_code, error.count("\n")) == (2, 1)
    assert "write the part and the number of parts, such as 2/8" in error


def test_extrapolate_equals_fit_and_predict(relex, fit, tmp_path) -> None:
    targets = ["--step", 20, "--step", 50]
    out = tmp_path / "at-once"
    ended = relex("extrapolate", STEPS, "--base", BASE, *targets, "--out", out, "--device", "cpu")
    assert ended == (0, "")
    assert fit(STEPS) == (0, "")
    assert relex(
        "predict", tmp_path / "out", "--base", BASE, *targets, "--out", tmp_path / "later"
    ) == (0, "")
    for step in (20, 50):
        at_once, later = (
            (folder / f"line-{step}" / "model.safetensors").read_bytes()
            for folder in (out, tmp_path / "later")
        )
        assert at_once == later


def test_extrapolate_refuses_a_folder_that_is_there_before_it_fits(relex, tmp_path) -> None:
    kept = tmp_path / "out" / "line-50"
    kept.mkdir(parents=True)
    (kept / "mine").touch()
    targets = ["--step", 20, "--step", 50]
    exit_code, error = relex(
        "extrapolate", STEPS, "--base", BASE, *targets, "--out", tmp_path / "out"
    )
    assert (exit_code, error.count("\n")) == (2, 1)
    assert f"{kept}: exists already; choose another folder or remove it first" in error
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["line-50", "mine"]


def test_parts_are_merged(relex, tmp_path) -> None:
    parts = [tmp_path / str(number) for number in (1, 2)]
    for number, part in enumerate(parts, start=1):
        options = ["--base", BASE, "--out", part, "--part", f"{number}/2", "--device", "cpu"]
        assert relex("fit", STEPS, *options) == (0, "")
    assert relex("merge", *parts, "--out", tmp_path / "whole") == (0, "")
    assert relex(
        "predict", tmp_path / "whole", "--base", BASE, "--step", 20, "--out", tmp_path / "model"
    ) == (0, "")


def test_a_snapshot_can_be_denoised(relex, fit, tmp_path) -> None:
    fit(STEPS)
    options = ["--base", BASE, "--step", 12, "--method", "denoised", "--out", tmp_path / "model"]
    assert relex("predict", tmp_path / "out", *options) == (0, "")
    found, newest = (
        load_file(folder / "model.safetensors")
        for folder in (tmp_path / "model", Path(STEPS) / "global_step_12")
    )
    base = load_file(Path(BASE) / "model.safetensors")
    moved, left_out = (
        sum(float((newest[n].float() - other[n].float()).square().sum()) for n in newest)
        for other in (base, found)
    )
    assert 0 < left_out < 0.1 * moved


@pytest.mark.parametrize("method", ["secant", "anchored", "scaled_newest", "shrunk-factor0.5"])
def test_a_method_needs_no_window(relex, fit, tmp_path, method) -> None:
    fit(STEPS)
    out = tmp_path / "model"
    options = ["--base", BASE, "--step", 50, "--method", method, "--out", out]
    assert relex("predict", tmp_path / "out", *options, "--device", "cpu") == (0, "")
    factors, found = open_factors(tmp_path / "out"), load_file(out / "model.safetensors")
    for name, tensor in predict_tensors(factors, Checkpoint(Path(BASE)), 50, find_method(method)):
        assert torch.equal(found[name], tensor)


def test_a_part_moves_and_all_else_is_the_newest_snapshot(relex, fit, tmp_path) -> None:
    fit(STEPS)
    options = ["--base", BASE, "--step", 50, "--step", 90, "--method", "secant", "--part", "1.mlp"]
    assert relex("predict", tmp_path / "out", *options, "--out", tmp_path / "m") == (0, "")
    newest = load_file(Path(STEPS) / "global_step_12" / "model.safetensors")
    for step in (50, 90):
        found = load_file(tmp_path / "m" / f"secant-{step}@1.mlp" / "model.safetensors")
        moved = {name for name in newest if not torch.equal(found[name], newest[name])}
        assert moved and all(".layers.1.mlp." in name for name in moved)


OWN = """
import numpy as np

def average(gram_SS, steps, target):
    weight_S = np.linspace(-1, 1, len(steps)) * (target - steps[-1]) / len(steps)
    weight_S[-1] += 1
    return weight_S
"""


def test_a_method_of_a_user_s_own_is_fitted_and_predicted(
    relex, fit, tmp_path, monkeypatch
) -> None:
    (tmp_path / "method_of_a_user.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    method = "method_of_a_user:average"
    options = ["--base", BASE, "--step", 50, "--method", method, "--out", tmp_path / "model"]
    assert fit(STEPS) == (0, "")
    exit_code, error = relex("predict", tmp_path / "out", *options)
    assert (exit_code, error.count("\n")) == (2, 1)
    assert f"fit again with --method {method}" in error
    assert not (tmp_path / "model").exists()
    shutil.rmtree(tmp_path / "out")
    assert fit(STEPS, "--method", method) == (0, "")
    assert relex("predict", tmp_path / "out", *options) == (0, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "ray"], "method ray: is not built in (anchored, "),
        (["--method", "line-rank0"], "rank 0 is impossible with 12 snapshots; choose 1 to 12"),
        (["--method", "line-rank2"], "fit again with --method line-rank2"),
        (["--method", "denoised"], "step 50 was not fitted, so denoised cannot show it"),
        (["--method", "shrunk-factornan"], "write NAME or module:NAME, then parameters"),
        (["--part", "2-1.mlp"], "part 2-1.mlp: is none; give layers as 20-29 or 7"),
        (["--part", "99"], "part 99: the base has no such tensor; it has "),
    ],
)
def test_an_impossible_method_is_one_line_and_exit_code_2(
    relex, fit, tmp_path, options, message
) -> None:
    fit(STEPS)
    out = tmp_path / "model"
    exit_code, error = relex(
        "predict", tmp_path / "out", "--base", BASE, "--step", 50, "--out", out, *options
    )
    assert (exit_code, error.count("\n")) == (2, 1)
    assert message in error
    assert not out.exists()


def test_a_packed_window_gives_the_checkpoints_of_its_folder(relex, tmp_path) -> None:
    packed = tmp_path / "packed"
    assert relex("window", "pack", STEPS, "--base", BASE, "--out", packed)[0] == 0
    for name, window in (("dense", STEPS), ("sparse", packed)):
        out = tmp_path / name
        code, message = relex(
            "extrapolate", window, "--base", BASE, "--step", 50, "--out", out, "--device", "cpu"
        )
        assert code == 0, message
    dense, sparse = (
        load_file(tmp_path / name / "line-50" / "model.safetensors") for name in ("dense", "sparse")
    )
    num_different = sum(int((dense[name] != sparse[name]).sum()) for name in dense)
    assert num_different <= 5e-5 * sum(tensor.numel() for tensor in dense.values())

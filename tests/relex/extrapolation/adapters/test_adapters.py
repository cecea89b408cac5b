"""LoRA adapters, as PEFT saves them: against dense matrices, and against PEFT itself.

S steps, N elements of one tensor.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import Qwen3ForCausalLM

from relex.checkpoints import Checkpoint
from relex.extrapolation import (
    BUILT_IN,
    find_method,
    merge_factors,
    predict_tensors,
    write_adapter,
)
from relex.extrapolation.factors import BASIS_FILE, PRODUCTS_FILE, TABLE_FILE
from relex.parts import find_part
from relex.window import AdapterWindow, open_window
from tests.displacements import predict_displacement

QUERY = "model.layers.0.self_attn.q_proj.weight"
KINDS = ("plain", "rslora", "patterns", "embedding", "saved")


def merged(base: Checkpoint, adapter: Path) -> dict[str, torch.Tensor]:
    """What PEFT makes of an adapter, in float64."""
    model = Qwen3ForCausalLM.from_pretrained(base.folder, dtype=torch.float64)
    whole = PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
    weights = whole.double().merge_and_unload().state_dict()
    return {name: weights[name] for name in base.tensors}


def displacements(base: Checkpoint, folder: Path, name: str, steps: Sequence[int]) -> np.ndarray:
    """S x N, float64, by PEFT."""
    start = base.read_tensor(name).double()
    rows = [merged(base, folder / f"checkpoint-{step}")[name] - start for step in steps]
    return torch.stack(rows).flatten(1).numpy()


def expected_displacement(
    displacement_SN: np.ndarray, steps: Sequence[int], target: int, rank: int
) -> np.ndarray:
    """By the singular value decomposition of the dense matrix."""
    _, _, direction_SN = np.linalg.svd(displacement_SN, full_matrices=False)
    total = np.zeros(displacement_SN.shape[1])
    for direction_N in direction_SN[:rank]:
        slope, intercept = np.polyfit(steps, displacement_SN @ direction_N, 1)
        total += (slope * target + intercept) * direction_N
    return total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [1, 2])
def test_the_displacement_is_that_of_the_merged_adapters(
    fit, steps, adapters_of, base, tmp_path, kind, rank
) -> None:
    folder = adapters_of(kind)
    factors = fit(folder, base, tmp_path / "factors", rank=rank)
    window = open_window(str(folder), base=base)
    assert isinstance(window, AdapterWindow)
    for name in [*window.adapted, *window.saved]:
        expected = expected_displacement(displacements(base, folder, name, steps), steps, 40, rank)
        method = find_method(f"line-rank{rank}")
        found = predict_displacement(factors, name, 40, method).double().numpy()
        # Whole weights are rounded to float32 when they are saved, products are not.
        limit = 1e-6 if name in window.adapted else 1e-4
        assert np.linalg.norm(found - expected) <= limit * np.linalg.norm(expected), name


@pytest.mark.parametrize("kind", KINDS)
def test_gram_matrices_are_those_of_the_merged_adapters(
    fit, steps, adapters_of, base, tmp_path, kind
) -> None:
    folder = adapters_of(kind)
    factors = fit(folder, base, tmp_path / "factors")
    displacement_SN = displacements(base, folder, QUERY, steps)
    rows = factors.table.tensors[QUERY].gram
    for row, products in enumerate(displacement_SN @ displacement_SN.T):
        np.testing.assert_allclose(rows[row], products[: row + 1], rtol=1e-6)


def test_weights_without_an_adapter_are_those_of_the_base(
    fit, steps, adapters_of, base, tmp_path
) -> None:
    factors = fit(adapters_of("plain"), base, tmp_path / "factors")
    for name, tensor in predict_tensors(factors, base, 40):
        moved = "q_proj" in name or "down_proj" in name
        assert torch.equal(tensor, base.read_tensor(name)) != moved


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_of_the_window_is_the_merged_adapter(adapters_of, base, kind) -> None:
    window = open_window(str(adapters_of(kind)), base=base)
    expected = merged(base, adapters_of(kind) / "checkpoint-6")
    for name, info in window.tensors.items():
        found = window.read(6, name).reshape(info.shape)
        torch.testing.assert_close(found.double(), expected[name], rtol=2e-7, atol=1e-8)
    piece = window.read(6, QUERY, 30, 100)
    assert torch.equal(piece, window.read(6, QUERY)[30:100])


@pytest.mark.parametrize("kind", KINDS)
def test_a_wide_adapter_is_the_merged_checkpoint(
    fit, steps, adapters_of, base, tmp_path, kind
) -> None:
    factors = fit(adapters_of(kind), base, tmp_path / "factors")
    compression = write_adapter(factors, base, 40, tmp_path / "adapter", rank=20)
    assert compression.error <= 1e-6
    found = merged(base, tmp_path / "adapter")
    for name, tensor in predict_tensors(factors, base, 40):
        torch.testing.assert_close(found[name].float(), tensor, rtol=5e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["plain", "embedding"])
def test_the_error_of_a_narrow_adapter_is_what_it_leaves_out(
    fit, adapters_of, base, tmp_path, kind
) -> None:
    factors = fit(adapters_of(kind), base, tmp_path / "factors")
    compression = write_adapter(factors, base, 40, tmp_path / "adapter", rank=3)
    found = merged(base, tmp_path / "adapter")
    for name, error in compression.error_of.items():
        start = base.read_tensor(name).double()
        whole = predict_displacement(factors, name, 40).double().reshape(start.shape)
        singular = torch.linalg.svdvals(whole)
        assert error == pytest.approx(float(singular[3:].norm() / singular.norm()), rel=1e-3)
        left_out = whole - (found[name] - start)
        assert float(left_out.norm() / whole.norm()) == pytest.approx(error, rel=1e-3)
    written = json.loads((tmp_path / "adapter" / "compression.json").read_text())
    assert written == compression.model_dump()


@pytest.mark.parametrize("text", [*BUILT_IN, "line-rank2"])
def test_methods_are_those_of_the_dense_engine(
    fit, steps, adapters_of, base, tmp_path, text
) -> None:
    folder = adapters_of("plain")
    window = open_window(str(folder), base=base)
    dense = tmp_path / "dense"
    for step in steps:
        (dense / f"step_{step}").mkdir(parents=True)
        tensors = {
            name: window.read(step, name).reshape(i.shape) for name, i in window.tensors.items()
        }
        save_file(tensors, dense / f"step_{step}" / "model.safetensors", {"format": "pt"})
    method, target = find_method(text), 6 if text == "denoised" else 20
    found, expected = (
        dict(predict_tensors(fit(path, base, out, rank=2), base, target, method))
        for path, out in ((folder, tmp_path / "adapters"), (dense, tmp_path / "checkpoints"))
    )
    for name in base.tensors:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=2e-7)


@pytest.mark.parametrize(
    ("text", "part"), [("secant", ""), ("anchored", ""), ("secant", "1"), ("line", "attention")]
)
def test_an_adapter_is_written_by_any_method(fit, adapters_of, base, tmp_path, text, part) -> None:
    factors, method = fit(adapters_of("plain"), base, tmp_path / "factors"), find_method(text)
    moving = find_part(part)
    write_adapter(factors, base, 40, tmp_path / "adapter", rank=20, method=method, part=moving)
    found = merged(base, tmp_path / "adapter")
    for name, tensor in predict_tensors(factors, base, 40, method, part=moving):
        torch.testing.assert_close(found[name].float(), tensor, rtol=5e-7, atol=1e-7)


def test_parts_join_to_the_whole(fit, adapters_of, base, tmp_path) -> None:
    folder = adapters_of("saved")
    whole = fit(folder, base, tmp_path / "whole")
    parts = [tmp_path / str(number) for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        fit(folder, base, part, part=(number, 3))
    joined = merge_factors(parts, tmp_path / "joined")
    for name in (TABLE_FILE, BASIS_FILE):
        assert (joined.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    found, expected = (load_file(f.folder / PRODUCTS_FILE) for f in (joined, whole))
    assert all(torch.equal(found[name], expected[name]) for name in expected | found)
    write_adapter(joined, base, 40, tmp_path / "adapter", rank=4)


def test_the_same_adapters_give_the_same_bits(fit, adapters_of, base, tmp_path) -> None:
    for name in ("one", "two"):
        fit(adapters_of("embedding"), base, tmp_path / name)
    for name in (TABLE_FILE, BASIS_FILE, PRODUCTS_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

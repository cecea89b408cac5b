"""Sharded and single-file bases, tied and untied embeddings, dtypes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relex.checkpoints import Checkpoint
from relex.extrapolation import predict_tensors
from relex.extrapolation.factors import BASIS_FILE, TABLE_FILE
from tests.displacements import predict_displacement

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"


def weights(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {EMBEDDING: (8, 4), HEAD: (8, 4), NORM: (4,)}
    return {n: torch.randn(shape, generator=generator).to(dtype) for n, shape in shapes.items()}


def trajectory(start: dict[str, torch.Tensor]) -> dict[int, dict[str, torch.Tensor]]:
    """Each tensor moves at its own speed."""
    return {
        step: {n: t.float() + 0.25 * step * (i + 1) for i, (n, t) in enumerate(start.items())}
        for step in (1, 2, 3)
    }


def shard(folder: Path, tensors: dict[str, torch.Tensor]) -> Checkpoint:
    """One tensor per file, in an order of files that is not that of the names."""
    folder.mkdir()
    weight_map = {}
    for number, (name, tensor) in enumerate(tensors.items(), start=1):
        weight_map[name] = f"model-{number:05}-of-{len(tensors):05}.safetensors"
        save_file({name: tensor}, folder / weight_map[name], {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return Checkpoint(folder)


def test_a_sharded_base_equals_a_single_file(lab, tmp_path: Path) -> None:
    start = weights()
    single, sharded = lab.base(start), shard(tmp_path / "sharded", start)
    assert single.digest() == sharded.digest()
    factors = lab.fit(trajectory(start), sharded)
    from_single = dict(predict_tensors(factors, single, 10))
    from_sharded = dict(predict_tensors(factors, sharded, 10))
    assert list(from_sharded) == list(sharded.tensors)
    assert all(torch.equal(from_single[name], from_sharded[name]) for name in start)


def test_untied_embeddings_move_apart(lab) -> None:
    start = weights()
    base = lab.base(start)
    predicted = dict(predict_tensors(lab.fit(trajectory(start), base), base, 8))
    assert torch.allclose(predicted[EMBEDDING], start[EMBEDDING] + 2.0, rtol=0, atol=1e-5)
    assert torch.allclose(predicted[HEAD], start[HEAD] + 4.0, rtol=0, atol=1e-5)


def test_tied_embeddings_are_one_tensor(lab) -> None:
    start = {name: tensor for name, tensor in weights().items() if name != HEAD}
    base = lab.base(start)
    predicted = dict(predict_tensors(lab.fit(trajectory(start), base), base, 8))
    assert set(predicted) == {EMBEDDING, NORM}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_predictions_have_the_dtype_of_the_base(lab, dtype: torch.dtype) -> None:
    start = weights(dtype)
    base = lab.base(start)
    predicted = dict(predict_tensors(lab.fit(trajectory(start), base), base, 8))
    assert {tensor.dtype for tensor in predicted.values()} == {dtype}


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(lab) -> None:
    start = weights()
    base = lab.base(start)
    on_cpu = lab.fit(trajectory(start), base)
    on_gpu = lab.fit(trajectory(start), base, device="cuda")
    for name in start:
        expected = predict_displacement(on_cpu, name, 20)
        error = (predict_displacement(on_gpu, name, 20) - expected).norm() / expected.norm()
        assert float(error) <= 5e-6
    predicted = dict(predict_tensors(on_gpu, base, 20, device="cuda"))
    assert {tensor.device.type for tensor in predicted.values()} == {"cuda"}


@pytest.mark.gpu
def test_a_gpu_gives_the_same_bits_each_time_whatever_the_budget(lab) -> None:
    generator = torch.Generator().manual_seed(0)
    start = {"w": torch.randn(1_300_001, generator=generator), "still": torch.ones(10)}
    snapshots = {
        s: start | {"w": start["w"] + 1e-3 * torch.randn(1_300_001, generator=generator)}
        for s in (1, 2, 3)
    }
    base = lab.base(start)
    whole = lab.fit(snapshots, base, device="cuda")
    again = lab.fit(snapshots, base, device="cuda", memory_bytes=10_000_000)
    for name in (TABLE_FILE, BASIS_FILE):
        assert (whole.folder / name).read_bytes() == (again.folder / name).read_bytes()


@pytest.mark.gpu
def test_a_gpu_decodes_the_deltas_that_the_cpu_decodes(lab) -> None:
    start = weights(torch.bfloat16)
    base = lab.base(start)
    window = lab.packed(lab.window(trajectory(start)), base)
    on_cpu = lab.fit_window(window, base)
    on_gpu = lab.fit_window(window, base, device="cuda")
    for name in start:
        expected = predict_displacement(on_cpu, name, 20)
        error = (predict_displacement(on_gpu, name, 20) - expected).norm() / expected.norm()
        assert float(error) <= 5e-6

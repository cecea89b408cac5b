"""Candidates have the bits that they had when every kind had an engine of its own.

`tests/golden/bits.json` holds sha256 of all predicted tensors, made by those engines: from float32
sums of displacements for directions, from the window for secants and first updates.
"""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relex.checkpoints import Checkpoint
from relex.extrapolation import BUILT_IN, find_method, fit_factors, predict_tensors
from relex.window import open_window

GOLDEN = Path(__file__).parents[2] / "golden"
BITS: dict[str, dict[str, str]] = json.loads((GOLDEN / "bits.json").read_text())
STEPS = (2, 3, 5, 8, 9, 11)
SHAPES = {"model.w.weight": (24, 20), "model.norm.weight": (20,), "model.still.weight": (8, 4)}
UNITS = {"bfloat16": 2.0**-14, "float32": 2.0**-24}
"""Weights move by whole numbers of these."""

CASES = [(window, key) for window, digests in BITS.items() for key in digests]


def seeded_window(folder: Path, dtype_name: str) -> Path:
    """Drift and noise by seed; half of the elements and one tensor never move, two are -0.0."""
    dtype, generator = getattr(torch, dtype_name), torch.Generator().manual_seed(7)
    base, drift, moves = {}, {}, {}
    for name, shape in SHAPES.items():
        base[name] = (torch.randn(shape, generator=generator) * 0.02).to(dtype)
        drift[name] = torch.randn(shape, generator=generator)
        moves[name] = torch.rand(shape, generator=generator) < 0.5
    base["model.w.weight"].view(-1)[:4] = -0.0
    moves["model.w.weight"].view(-1)[:2] = False
    moves["model.still.weight"][:] = False
    save(folder / "base", base)
    for step in STEPS:
        snapshot = {}
        for name, shape in SHAPES.items():
            noise = torch.randn(shape, generator=generator)
            units = torch.round(step * drift[name] + 0.7 * step**0.5 * noise)
            moved = base[name].float() + units * UNITS[dtype_name] * moves[name]
            snapshot[name] = moved.to(dtype)
        save(folder / "steps" / f"step_{step}", snapshot)
    return folder


def save(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    folder.mkdir(parents=True)
    tensors = {**tensors, "model.ids": torch.arange(5)}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.fixture(scope="module")
def predict(tmp_path_factory):
    """Predicted tensors by window and key, each window fitted once for each rank."""
    fitted = {}

    def predict(window_name: str, key: str):
        text, _, target = key.rpartition("-")
        rank = 3 if text == "line-rank3" else 1
        if (window_name, rank) not in fitted:
            out = tmp_path_factory.mktemp("bits")
            is_golden = window_name == "golden"
            folder = GOLDEN / "tied" if is_golden else seeded_window(out / "data", window_name)
            base, window = Checkpoint(folder / "base"), open_window(str(folder / "steps"))
            methods = (*BUILT_IN, "secant-gap1")
            factors = fit_factors(
                window, base, out / "factors", rank=rank, methods=methods, device="cpu"
            )
            fitted[window_name, rank] = factors, base
        return predict_tensors(*fitted[window_name, rank], int(target), find_method(text))

    return predict


@pytest.mark.parametrize(("window_name", "key"), CASES)
def test_a_candidate_has_the_bits_that_it_had(predict, window_name, key) -> None:
    digest = hashlib.sha256()
    for name, tensor in predict(window_name, key):
        digest.update(name.encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    assert digest.hexdigest() == BITS[window_name][key]

"""The study's windows are in memory; their candidates are those that the product writes."""

import importlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relex.candidates import BASE, Candidate, parse_candidate
from relex.checkpoints import TOY_BASE, Checkpoint
from relex.evaluation.weight_source import CandidateWeights, WeightSource
from relex.extrapolation import fit_factors
from relex.window import open_window

STUDY = Path(__file__).parent / "bench" / "study"
STEPS = 6
LEAST_BITS = 2.0**-7
"""Two neighbours of bfloat16: both sides round a sum of their own order."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory):
    """The same drift of the toy, as the study keeps it and as the product does."""
    folder = tmp_path_factory.mktemp("study")
    base = Checkpoint(TOY_BASE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDY))
        study = importlib.import_module("window")
    weights = study.read_base(base)
    torch.manual_seed(0)
    drift = {name: 1e-3 * torch.randn(weight.shape) for name, weight in weights.items()}
    snapshots = []
    for step in range(1, STEPS + 1):
        noise = {name: 1e-4 * torch.randn(weight.shape) for name, weight in weights.items()}
        snapshots.append(
            {name: weights[name].float() + step * drift[name] + noise[name] for name in weights}
        )
        (folder / "window" / f"checkpoint-{step}").mkdir(parents=True)
        path = folder / "window" / f"checkpoint-{step}" / "model.safetensors"
        save_file(snapshots[-1], path, {"format": "pt"})
    window = open_window(str(folder / "window"), base=base)
    fit_factors(window, base, folder / "factors", device="cpu")
    source = WeightSource(
        base=str(TOY_BASE), window=str(folder / "window"), factors=str(folder / "factors")
    )
    return study.make_window(weights, snapshots, "float32"), CandidateWeights(source)


@pytest.mark.parametrize(
    "candidate",
    [
        BASE,
        Candidate(step=3),
        *map(parse_candidate, ("line-24", "denoised-6", "secant-12", "secant-48@2-3.mlp")),
    ],
    ids=lambda candidate: candidate.key,
)
def test_a_point_of_the_study_is_the_product_s_candidate(both, candidate) -> None:
    window, product = both
    found = window.weights(candidate)
    for name, weight in product.tensors(candidate):
        torch.testing.assert_close(found[name], weight, rtol=LEAST_BITS, atol=1e-6)

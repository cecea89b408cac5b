"""Agreement with the float64 reference and the published code on tests/golden/tied.

N elements, R directions, S steps.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.polynomial.polynomial import polyfit, polyval
from safetensors.torch import load_file

from relex.checkpoints import Checkpoint
from relex.extrapolation import (
    Factors,
    find_method,
    fit_factors,
    predict_tensors,
)
from relex.window import open_window
from tests.displacements import predict_displacement

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"
BENCH = Path(__file__).parents[2] / "bench"
STEPS = list(range(1, 13))
CASES = [(1, 20), (1, 50), (1, 200), (3, 50)]
STILL = {"model.layers.0.input_layernorm.weight", "model.layers.1.self_attn.q_norm.weight"}


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return Checkpoint(GOLDEN / "base")


@pytest.fixture(scope="module")
def factors_of_rank(
    base: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Factors]:
    window = open_window(str(GOLDEN / "steps"))
    out = tmp_path_factory.mktemp("golden")
    return {rank: fit_factors(window, base, out / str(rank), rank=rank) for rank in (1, 3)}


@pytest.fixture(scope="module")
def svd_of() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """numpy's SVD of every tensor's displacements, in float64."""
    base = load_file(GOLDEN / "base" / "model.safetensors")
    snapshots = [
        load_file(GOLDEN / "steps" / f"global_step_{step}" / "model.safetensors") for step in STEPS
    ]
    found = {}
    for name, start in base.items():
        rows = [(snapshot[name].double() - start.double()).view(-1) for snapshot in snapshots]
        found[name] = np.linalg.svd(torch.stack(rows).numpy(), full_matrices=False)
    return found


def bit_distance(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Distance of two bfloat16 tensors in units in the last place."""
    assert bool(((found < 0) == (expected < 0)).all())
    return (found.view(torch.int16).int() - expected.view(torch.int16).int()).abs()


def differing(predicted: dict[str, torch.Tensor], file: Path) -> tuple[float, int]:
    """Fraction of elements that differ from the file's, and by how many ulps at most."""
    expected = load_file(file)
    assert predicted.keys() == expected.keys()
    distance = torch.cat([bit_distance(t, expected[n]).view(-1) for n, t in predicted.items()])
    return float((distance > 0).double().mean()), int(distance.max())


@pytest.mark.parametrize(("rank", "target"), CASES)
def test_every_displacement_is_within_1e_6_of_a_float64_svd(
    rank: int, target: int, factors_of_rank: dict[int, Factors], svd_of
) -> None:
    factors, method = factors_of_rank[rank], find_method(f"line-rank{rank}")
    for name, (left_SR, sigma_R, right_RN) in svd_of.items():
        lines = polyfit(STEPS, left_SR[:, :rank] * sigma_R[:rank], 1)
        expected = polyval(target, lines) @ right_RN[:rank]
        found = predict_displacement(factors, name, target, method).double().numpy()
        assert np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected), name


@pytest.mark.parametrize(("rank", "target"), CASES)
def test_rounded_weights_agree_with_the_float64_reference(
    rank: int, target: int, base: Checkpoint, factors_of_rank: dict[int, Factors]
) -> None:
    method = find_method(f"line-rank{rank}")
    predicted = dict(predict_tensors(factors_of_rank[rank], base, target, method))
    file = GOLDEN / "float64" / f"extrapolate-rank{rank}-step{target}.safetensors"
    fraction, most_ulps = differing(predicted, file)
    assert fraction <= 0.00005
    assert most_ulps <= 1


@pytest.mark.parametrize("target", [20, 50, 200])
def test_rounded_weights_agree_with_the_published_code(
    target: int, base: Checkpoint, factors_of_rank: dict[int, Factors]
) -> None:
    predicted = dict(predict_tensors(factors_of_rank[1], base, target))
    file = GOLDEN / "official" / f"extrapolate-rank1-step{target}.safetensors"
    fraction, most_ulps = differing(predicted, file)
    assert fraction <= 0.0005
    assert most_ulps <= 1


@pytest.mark.parametrize("target", [20, 50, 200])
def test_the_procedure_of_the_benches_is_the_published_code(target: int, tmp_path: Path) -> None:
    """It counts rows, subtracts in float16 and rounds predictions to bfloat16."""
    window, published = tmp_path / "window", runpy.run_path(str(BENCH / "published.py"))
    window.mkdir()
    (window / "base").symlink_to(GOLDEN / "base")
    for step in STEPS:
        (window / f"step_{step}").symlink_to(GOLDEN / "steps" / f"global_step_{step}")
    published["write_deltas"](window, tmp_path / "deltas")
    published["fit"](window, tmp_path / "deltas", tmp_path / "out", [target])
    predicted = load_file(tmp_path / "out" / f"step_{target}" / "model.safetensors")
    file = GOLDEN / "official" / f"extrapolate-rank1-step{target}.safetensors"
    fraction, most_ulps = differing(predicted, file)
    assert fraction <= 0.0001
    assert most_ulps <= 1


def test_tensors_that_never_move_are_the_base_s(
    base: Checkpoint, factors_of_rank: dict[int, Factors]
) -> None:
    predicted = dict(predict_tensors(factors_of_rank[1], base, 200))
    still = {n for n, fit in factors_of_rank[1].table.tensors.items() if not fit.directions}
    assert still == STILL
    assert all(torch.equal(predicted[name], base.read_tensor(name)) for name in STILL)

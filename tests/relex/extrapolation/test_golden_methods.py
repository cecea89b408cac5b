"""Methods on the golden trajectory: against the float64 reference, and beyond ours by a user's own.

S steps.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from relex.checkpoints import Checkpoint
from relex.errors import FactorsError
from relex.extrapolation import (
    Factors,
    find_method,
    fit_factors,
    predict_tensors,
)
from relex.window import Window, open_window
from tests.displacements import predict_displacement

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"
TENSOR = "model.layers.0.mlp.up_proj.weight"

PARABOLA = '''

import numpy as np

from relex.extrapolation.subspace import leading_vectors


def parabola(gram_SS, steps, target):
    """The coefficients of the first direction on a parabola in place of a line."""
    left_S = leading_vectors(gram_SS, 1)[:, 0]
    power_S3 = np.vander(np.array(steps) / steps[-1], 3)
    weight_S = np.vander([target / steps[-1]], 3)[0] @ np.linalg.pinv(power_S3)
    return left_S * (left_S @ weight_S)
'''

RECONSTRUCTED = '''
from relex.extrapolation.method import point
from relex.extrapolation.subspace import leading_vectors
from tests.displacements import predict_displacement

INSIDE_WINDOW = True


def reconstructed(gram_SS, steps, target, *, rank=1):
    """A snapshot of the window projected on the leading directions."""
    left_SR = leading_vectors(gram_SS, rank)
    return left_SR @ left_SR.T @ point(steps, steps.index(target))
'''

CASES = [
    ("extrapolate-rank1-step50", 1, 50, "line"),
    ("extrapolate-rank3-step50", 3, 50, "line-rank3"),
    ("extrapolate_poly2-rank1-step50", 1, 50, "golden_parabola:parabola"),
    ("reconstruct-rank1-step6", 1, 6, "golden_reconstructed:reconstructed"),
    ("reconstruct-rank1-step12", 1, 12, "golden_reconstructed:reconstructed"),
]


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return Checkpoint(GOLDEN / "base")


@pytest.fixture(scope="module")
def window() -> Window:
    return open_window(str(GOLDEN / "steps"))


@pytest.fixture(scope="module")
def fit(base, window, tmp_path_factory):
    """The golden factors of a rank, fitted when first asked for, with a user's methods at hand."""
    folder, patch = tmp_path_factory.mktemp("methods"), pytest.MonkeyPatch()
    (folder / "golden_parabola.py").write_text(PARABOLA)
    (folder / "golden_reconstructed.py").write_text(RECONSTRUCTED)
    patch.syspath_prepend(folder)
    fitted: dict[int, Factors] = {}

    def fit(rank: int) -> Factors:
        if rank not in fitted:
            out = tmp_path_factory.mktemp("factors") / "out"
            fitted[rank] = fit_factors(window, base, out, rank=rank, device="cpu")
        return fitted[rank]

    yield fit
    patch.undo()


def distance(predicted: dict[str, torch.Tensor], file: Path) -> tuple[float, int]:
    """Fraction of elements that differ from the file's, and the most units in the last place."""
    expected = load_file(file)
    ulps = torch.cat(
        [
            (t.view(torch.int16).int() - expected[n].view(torch.int16).int()).abs().view(-1)
            for n, t in predicted.items()
        ]
    )
    return float((ulps > 0).double().mean()), int(ulps.max())


@pytest.mark.parametrize(("file", "rank", "target", "text"), CASES)
def test_methods_agree_with_the_float64_reference(base, fit, file, rank, target, text) -> None:
    factors = fit(rank)
    predicted = dict(predict_tensors(factors, base, target, find_method(text)))
    fraction, most_ulps = distance(predicted, GOLDEN / "float64" / f"{file}.safetensors")
    assert fraction <= 0.00005
    assert most_ulps <= 1


def test_anchored_at_the_newest_only_the_difference_is_predicted(base, window, fit) -> None:
    factors = fit(1)
    beyond = predict_displacement(factors, TENSOR, 20)
    at_end = predict_displacement(factors, TENSOR, 12)
    weights = dict(predict_tensors(factors, base, 20, find_method("anchored")))[TENSOR]
    newest = window.read(12, TENSOR).float()
    error = weights.view(-1).float() - (newest + beyond - at_end)
    assert float(error.abs().max()) <= float(weights.abs().max()) / 256


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_lower_rank_is_the_fit_of_that_rank(fit, rank) -> None:
    method = find_method(f"line-rank{rank}")
    low = predict_displacement(fit(3), TENSOR, 50, method)
    assert torch.allclose(low, predict_displacement(fit(rank), TENSOR, 50, method), rtol=1e-6)


def test_reconstructed_at_full_rank_is_the_snapshot(base, window, fit) -> None:
    method = find_method("golden_reconstructed:reconstructed-rank12")
    predicted = dict(predict_tensors(fit(12), base, 6, method))
    close = (predicted[n].float() - window.read(6, n).view(predicted[n].shape) for n in predicted)
    assert max(float(difference.abs().max()) for difference in close) < 1e-5


@pytest.mark.parametrize(
    ("target", "text", "message"),
    [
        (6, "line", "step 6 is not beyond the window"),
        (13, "denoised", "step 13 was not fitted, so denoised cannot show it"),
        (50, "line-rank2", r"method line-rank2: .* at step 50 does not lie in what was kept"),
        (50, "secant-gap5", r"which is for anchored, .*; fit again with --method secant-gap5"),
    ],
)
def test_what_the_factors_cannot_answer_is_refused(base, fit, target, text, message) -> None:
    with pytest.raises(FactorsError, match=message):
        predict_tensors(fit(1), base, target, find_method(text))

"""The options of a prediction, on the golden trajectory and against closed forms.

S steps, N elements, R directions.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from relex.checkpoints import Checkpoint
from relex.config import Convention, PredictionOptions
from relex.errors import FactorsError, WindowError
from relex.extrapolation import Factors, fit_factors, predict_displacement, predict_tensors
from relex.window import Window, open_window

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"
POLY2 = PredictionOptions(degree=2)
OBSERVED = PredictionOptions(denoise="observed")
NEWEST = PredictionOptions(anchor="newest")
CASES = [
    ("extrapolate-rank1-step50", 1, 50, PredictionOptions()),
    ("extrapolate-rank3-step50", 3, 50, PredictionOptions()),
    ("extrapolate_poly2-rank1-step50", 1, 50, POLY2),
    ("reconstruct-rank1-step6", 1, 6, OBSERVED),
    ("reconstruct-rank1-step12", 1, 12, OBSERVED),
]
TENSOR = "model.layers.0.mlp.up_proj.weight"
NORM = "model.norm.weight"


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return Checkpoint(GOLDEN / "base")


@pytest.fixture(scope="module")
def window() -> Window:
    return open_window(str(GOLDEN / "steps"))


@pytest.fixture(scope="module")
def fit(base, window, tmp_path_factory):
    """The golden factors of a rank and a convention, fitted when first asked for."""
    fitted: dict[tuple[int, str], Factors] = {}

    def fit(rank: int, convention: Convention = "exact") -> Factors:
        key = rank, convention
        if key not in fitted:
            out = tmp_path_factory.mktemp("factors") / "out"
            fitted[key] = fit_factors(
                window, base, out, rank=rank, convention=convention, device="cpu"
            )
        return fitted[key]

    return fit


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


@pytest.mark.parametrize(("file", "rank", "step", "options"), CASES)
def test_every_option_agrees_with_the_float64_reference(
    base, fit, file, rank, step, options
) -> None:
    predicted = dict(predict_tensors(fit(rank), base, step, options))
    fraction, most_ulps = distance(predicted, GOLDEN / "float64" / f"{file}.safetensors")
    assert fraction <= 0.00005
    assert most_ulps <= 1


@pytest.mark.parametrize(("file", "rank", "step", "options"), CASES)
def test_the_published_convention_agrees_with_the_published_code(
    base, fit, file, rank, step, options
) -> None:
    predicted = dict(predict_tensors(fit(rank, "published"), base, step, options))
    fraction, most_ulps = distance(predicted, GOLDEN / "official" / f"{file}.safetensors")
    assert fraction <= 0.0001
    assert most_ulps <= 1


def test_the_published_convention_counts_rows(lab) -> None:
    """Steps 2, 4 .. 16 and target 20: row 7 and four steps beyond it, in place of step 20."""
    base = lab.base({"w": torch.zeros(500)})
    direction = torch.linspace(0.5, 1, 500)
    snapshots = {s: {"w": s * direction} for s in range(2, 17, 2)}
    factors = lab.fit(snapshots, base, convention="published")
    found = predict_displacement(factors, "w", 20)
    assert torch.allclose(found, 2 * (7 + 4 + 1) * direction, rtol=2e-3)


def test_the_published_convention_subtracts_in_float16(lab) -> None:
    base = lab.base({"w": torch.full((500,), 0.02)})
    snapshots = {s: {"w": torch.full((500,), 0.02 + 1e-6 * s)} for s in (1, 2, 3)}
    factors = lab.fit(snapshots, base, convention="published")
    assert not factors.table.tensors["w"].directions


def test_published_predictions_are_rounded_to_bfloat16(lab) -> None:
    base = lab.base({"w": torch.full((500,), 1.0)})
    snapshots = {s: {"w": torch.full((500,), 1 + s / 1024)} for s in (1, 2, 3)}
    factors = lab.fit(snapshots, base, convention="published")
    predicted = dict(predict_tensors(factors, base, 5))["w"]
    assert predicted.dtype == torch.float32
    assert torch.equal(predicted, predicted.bfloat16().float())


def test_anchored_at_the_newest_only_the_difference_is_predicted(base, window, fit) -> None:
    factors = fit(1)
    beyond = predict_displacement(factors, TENSOR, 20)
    at_end = predict_displacement(factors, TENSOR, 12, PredictionOptions(denoise="fitted"))
    found = predict_displacement(factors, TENSOR, 20, NEWEST)
    assert torch.allclose(found, beyond - at_end, atol=1e-6)
    weights = dict(predict_tensors(factors, base, 20, NEWEST, window))[TENSOR]
    newest = window.read(12, TENSOR).float()
    assert torch.equal(weights.view(-1), (newest + found).bfloat16())


def test_shrinkage_scales_the_displacement(fit) -> None:
    half = predict_displacement(fit(1), TENSOR, 50, PredictionOptions(shrinkage=0.5))
    assert torch.allclose(2 * half, predict_displacement(fit(1), TENSOR, 50), rtol=1e-6)


def test_a_lower_rank_is_the_fit_of_that_rank(fit) -> None:
    low = predict_displacement(fit(3), TENSOR, 50, PredictionOptions(rank=1))
    assert torch.allclose(low, predict_displacement(fit(1), TENSOR, 50), rtol=1e-6)


def test_copied_norms_are_those_of_the_newest_snapshot(base, window, fit) -> None:
    options = PredictionOptions(norms="newest")
    predicted = dict(predict_tensors(fit(1), base, 50, options, window))
    paper = dict(predict_tensors(fit(1), base, 50))
    assert torch.equal(predicted[NORM], window.read(12, NORM))
    assert torch.equal(predicted[TENSOR], paper[TENSOR])


def test_the_oracle_s_line_ends_before_its_directions(fit) -> None:
    factors = fit(1)
    oracle = predict_displacement(factors, TENSOR, 50, PredictionOptions(line_steps=(1, 6)))
    direction = factors.table.tensors[TENSOR].directions[0]
    line = np.polynomial.polynomial.Polynomial.fit(range(1, 7), direction.coefficients[:6], 1)
    expected = line(50) * factors.read_directions(TENSOR)[:, 0].double()
    assert float((oracle - expected).norm() / expected.norm()) < 1e-6


def test_denoised_at_full_rank_is_the_snapshot(base, window, fit) -> None:
    predicted = dict(predict_tensors(fit(12), base, 6, OBSERVED))
    close = (predicted[n].float() - window.read(6, n).view(predicted[n].shape) for n in predicted)
    assert max(float(difference.abs().max()) for difference in close) < 1e-5


@pytest.mark.parametrize(
    ("step", "options", "message"),
    [
        (6, PredictionOptions(), "step 6 is not beyond the window"),
        (13, OBSERVED, "step 13 was not fitted, so it cannot be denoised"),
        (50, PredictionOptions(rank=2), "has rank 1, asked for 2; fit with a higher rank"),
        (50, PredictionOptions(degree=12), "12 steps from 1 to 12 are too few for degree 12"),
        (50, PredictionOptions(line_steps=(20, 30)), "0 steps from 20 to 30 are too few"),
        (50, NEWEST, "starts at the newest snapshot; give the window too"),
    ],
)
def test_options_that_the_factors_cannot_answer_are_refused(
    base, fit, step, options, message
) -> None:
    with pytest.raises(FactorsError, match=message):
        predict_tensors(fit(1), base, step, options)


def test_the_newest_snapshot_of_another_window_is_refused(base, fit, lab) -> None:
    start = {name: base.read_tensor(name) for name in base.tensors}
    other = lab.window({1: start, 2: start})
    with pytest.raises(FactorsError, match="has no step 12, where the factors end"):
        predict_tensors(fit(1), base, 50, NEWEST, other)


def test_a_window_with_other_tensors_is_refused(base, fit, lab) -> None:
    with pytest.raises(Exception, match="lacks") as error:
        predict_tensors(fit(1), base, 50, NEWEST, lab.window({12: {NORM: torch.zeros(64)}}))
    assert not isinstance(error.value, WindowError)

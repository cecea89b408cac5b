"""Baselines against closed forms, and every kind of candidate through one door."""

import itertools

import pytest
import torch
from pydantic import ValidationError

from relex.candidates import BASE, Candidate, WeightSource, open_weights
from relex.config import PredictionOptions
from relex.errors import FactorsError, WindowError
from relex.extrapolation import baseline_tensors

STEPS = (2, 4, 7)
NAMES = {"model.w.weight": (30, 20), "model.norm.weight": (20,)}


def random_tensors(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in NAMES.items()}


@pytest.fixture
def start():
    return random_tensors(0)


@pytest.fixture
def base(lab, start):
    return lab.base(start)


@pytest.fixture
def window(lab, start):
    moves = {step: random_tensors(step) for step in STEPS}
    return lab.window({s: {n: start[n] + 0.01 * s * moves[s][n] for n in NAMES} for s in STEPS})


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(found[n], expected[n], atol=2e-6) for n in NAMES)


def test_the_first_update_is_scaled_by_alpha(window, base, start) -> None:
    found = dict(baseline_tensors(window, base, "scaled", 20))
    first = window.snapshots[2]
    assert close(found, {n: start[n] + 10 * (first[n] - start[n]) for n in NAMES})


def test_the_secant_goes_through_the_last_two_snapshots(window, base) -> None:
    found = dict(baseline_tensors(window, base, "secant", 13))
    four, seven = window.snapshots[4], window.snapshots[7]
    assert close(found, {n: seven[n] + 2 * (seven[n] - four[n]) for n in NAMES})


def test_the_secant_goes_through_the_steps_that_are_named(window, base, start) -> None:
    options = PredictionOptions(line_steps=(0, 7))
    found = dict(baseline_tensors(window, base, "secant", 14, options))
    assert close(found, {n: start[n] + 2 * (window.snapshots[7][n] - start[n]) for n in NAMES})


def test_the_raw_line_is_the_least_squares_line_of_every_weight(window, base) -> None:
    found = dict(baseline_tensors(window, base, "line", 13))
    design = torch.tensor([[1.0, s] for s in STEPS], dtype=torch.float64)
    at = torch.tensor([1.0, 13.0], dtype=torch.float64)
    for name, shape in NAMES.items():
        rows = torch.stack([window.snapshots[s][name].double().view(-1) for s in STEPS])
        expected = at @ torch.linalg.lstsq(design, rows).solution
        assert torch.allclose(found[name].double(), expected.view(shape), atol=2e-6)


def test_shrunk_to_nothing_from_the_newest_is_the_newest(window, base) -> None:
    options = PredictionOptions(anchor="newest", shrinkage=0.0)
    for baseline in ("scaled", "secant", "line"):
        found = dict(baseline_tensors(window, base, baseline, 13, options))
        assert all(torch.equal(found[n], window.snapshots[7][n]) for n in NAMES)


def test_norms_can_be_copied_from_the_newest(window, base) -> None:
    found = dict(baseline_tensors(window, base, "line", 13, PredictionOptions(norms="newest")))
    norm = "model.norm.weight"
    assert torch.equal(found[norm], window.snapshots[7][norm])


def test_a_baseline_inside_the_window_is_refused(window, base) -> None:
    with pytest.raises(FactorsError, match="step 7 is not beyond the window"):
        baseline_tensors(window, base, "line", 7)


def test_a_secant_through_a_step_that_is_not_there_is_refused(window, base) -> None:
    with pytest.raises(WindowError, match="has no step 5 for a secant"):
        baseline_tensors(window, base, "secant", 9, PredictionOptions(line_steps=(5, 7)))


def test_too_few_steps_for_the_degree_are_refused(window, base) -> None:
    with pytest.raises(WindowError, match="3 steps are too few for degree 3"):
        baseline_tensors(window, base, "line", 9, PredictionOptions(degree=3))


VARIANTS = [
    PredictionOptions(),
    PredictionOptions(rank=1),
    PredictionOptions(degree=2),
    PredictionOptions(line_steps=(2, 4)),
    PredictionOptions(anchor="newest"),
    PredictionOptions(shrinkage=0.5),
    PredictionOptions(shrinkage=0.5, norms="newest"),
    PredictionOptions(norms="newest"),
]
CANDIDATES = [
    BASE,
    Candidate(kind="observed", step=7),
    *(Candidate(kind="extrapolated", step=9, options=options) for options in VARIANTS),
    Candidate(kind="denoised", step=4, options=PredictionOptions(denoise="observed")),
    Candidate(kind="denoised", step=4, options=PredictionOptions(denoise="fitted")),
    *(Candidate(kind=kind, step=9) for kind in ("scaled", "secant", "line")),
]


def test_keys_and_labels_are_unique() -> None:
    assert len({candidate.key for candidate in CANDIDATES}) == len(CANDIDATES)
    assert len({candidate.label for candidate in CANDIDATES}) == len(CANDIDATES)


def test_keys_and_labels_are_readable() -> None:
    options = PredictionOptions(rank=2, anchor="newest", shrinkage=0.5)
    candidate = Candidate(kind="extrapolated", step=120, options=options)
    assert candidate.key == "extrapolated-120-rank2-newest-times0.5"
    assert candidate.label == "k = 120, rank 2, from the newest, times 0.5"


def test_a_candidate_survives_json() -> None:
    for candidate in CANDIDATES:
        assert Candidate.model_validate_json(candidate.model_dump_json()) == candidate


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("observed", PredictionOptions(shrinkage=0.5), "observed takes none"),
        ("denoised", PredictionOptions(), "fitted or observed for denoised candidates only"),
        ("extrapolated", PredictionOptions(denoise="fitted"), "for denoised candidates only"),
        ("secant", PredictionOptions(rank=1), "secant has no directions"),
    ],
)
def test_options_that_a_kind_does_not_have_are_refused(kind, options, message) -> None:
    with pytest.raises(ValidationError, match=message):
        Candidate(kind=kind, step=9, options=options)


def test_every_candidate_has_weights_of_its_own(lab, window, base) -> None:
    factors = lab.fit_window(window, base, rank=2)
    source = WeightSource(
        base=str(base.folder), window=str(lab.save(window)), factors=str(factors.folder)
    )
    weights = open_weights(source)
    found = [dict(weights.tensors(candidate)) for candidate in CANDIDATES]
    for one, other in itertools.combinations(found, 2):
        assert any(not torch.equal(one[name], other[name]) for name in NAMES)

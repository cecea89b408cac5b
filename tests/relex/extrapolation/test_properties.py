"""Properties of the predicted displacement on random trajectories.

S steps, N elements.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.displacements import predict_displacement

NUM_ELEMENTS = 1500
TARGET = 200
few = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**31)
many_steps = st.lists(st.integers(1, 100), min_size=2, max_size=12, unique=True).map(sorted)


def displacements(seed: int, steps: list[int], noise: float = 0.3) -> dict[int, torch.Tensor]:
    """A drift along one direction and a random walk beside it, as in training."""
    random = np.random.default_rng(seed)
    direction = random.standard_normal(NUM_ELEMENTS)
    walk = np.cumsum(random.standard_normal((100, NUM_ELEMENTS)), axis=0)
    return {
        s: torch.from_numpy(1e-3 * (s * direction + noise * walk[s - 1])).float() for s in steps
    }


@pytest.fixture(scope="session")
def predict(new_lab):
    """The displacement that a fit of these displacements predicts, float64."""

    def predict(moves: Mapping[int, torch.Tensor], target: int = TARGET) -> torch.Tensor:
        with tempfile.TemporaryDirectory() as folder:
            lab = new_lab(Path(folder))
            base = lab.base({"w": torch.zeros(NUM_ELEMENTS)})
            factors = lab.fit({s: {"w": move} for s, move in moves.items()}, base)
            return predict_displacement(factors, "w", target).double()

    return predict


def reference(moves: Mapping[int, torch.Tensor], target: int = TARGET) -> torch.Tensor:
    """The same by numpy's SVD in float64."""
    steps = sorted(moves)
    left_SR, sigma_R, right_RN = np.linalg.svd(
        torch.stack([moves[s] for s in steps]).double().numpy(), full_matrices=False
    )
    line = np.polynomial.polynomial.Polynomial.fit(steps, left_SR[:, 0] * sigma_R[0], 1)
    return torch.from_numpy(line(target) * right_RN[0])


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@few
@given(seed=seeds, steps=many_steps)
def test_the_displacement_is_that_of_a_float64_svd(predict, seed, steps) -> None:
    moves = displacements(seed, steps)
    assert error(predict(moves), reference(moves)) <= 1e-6


@few
@given(seed=seeds, steps=many_steps, exponent=st.integers(-20, 20))
def test_scaling_the_displacements_scales_the_prediction(predict, seed, steps, exponent) -> None:
    moves = displacements(seed, steps)
    scaled = {s: move * 2.0**exponent for s, move in moves.items()}
    assert torch.equal(predict(scaled), predict(moves) * 2.0**exponent)


@few
@given(seed=seeds, steps=many_steps, random=st.randoms(use_true_random=False))
def test_the_order_of_rows_with_their_steps_does_not_matter(predict, seed, steps, random) -> None:
    moves = displacements(seed, steps)
    shuffled = dict(random.sample(list(moves.items()), len(moves)))
    assert torch.equal(predict(shuffled), predict(moves))


@few
@given(seed=seeds, steps=many_steps, shift=st.integers(1, 100_000))
def test_moving_the_time_axis_moves_the_prediction(predict, seed, steps, shift) -> None:
    moves = displacements(seed, steps)
    later = {s + shift: move for s, move in moves.items()}
    assert error(predict(later, TARGET + shift), predict(moves)) <= 1e-6


@few
@given(seed=seeds, num_saved=st.integers(2, 10))
def test_every_step_and_every_fifth_agree_on_a_line(predict, seed, num_saved) -> None:
    every = displacements(seed, list(range(1, 5 * num_saved + 1)), noise=0)
    fifth = {s: move for s, move in every.items() if s % 5 == 0}
    assert error(predict(fifth), predict(every)) <= 1e-6

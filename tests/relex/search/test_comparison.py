"""Paired differences against textbook formulas."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from relex.search import compare

ALL, NONE = np.ones((10, 1), dtype=bool), np.zeros((10, 1), dtype=bool)


def test_the_error_is_that_of_a_paired_mean_with_one_question_more_that_differs() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random((400, 8)) < 0.6, rng.random((400, 8)) < 0.5
    found = compare(one, other)
    difference_Q = one.mean(axis=1) - other.mean(axis=1)
    assert found.difference == pytest.approx(difference_Q.mean())
    assert found.error == pytest.approx(stats.sem(difference_Q, ddof=0), rel=0.01)


def test_only_questions_that_both_answered_count() -> None:
    one = np.array([[True], [True]])
    other = np.array([[True], [False], [False]])
    assert compare(one, other).difference == 0.5
    assert compare(other, one).difference == -0.5


def test_few_equal_questions_are_not_certain() -> None:
    assert compare(ALL, ALL).error > 0
    assert compare(ALL, NONE).error == pytest.approx(0.1)


@pytest.mark.parametrize("shape", [(20, 1), (50, 1), (20, 16), (200, 4)])
def test_an_equal_candidate_is_called_clearly_below_in_at_most_5_percent_of_studies(
    shape: tuple[int, int],
) -> None:
    num_studies, rng = 2000, np.random.default_rng(0)
    studies = [compare(*_pair(rng, shape)) for _ in range(num_studies)]
    wrong = np.mean([found.is_clearly_below(0.0, num_errors=1.64) for found in studies])
    assert wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / num_studies)
    assert wrong >= 0.005


def _pair(rng: np.random.Generator, shape: tuple[int, int]) -> list[npt.NDArray[np.bool_]]:
    """Two equally good candidates on questions that differ in difficulty."""
    share_Q1 = rng.random((shape[0], 1))
    return [rng.random(shape) < share_Q1 for _ in range(2)]


def test_clearly_below_needs_more_than_the_errors() -> None:
    found = compare(NONE, ALL)
    assert found.is_clearly_below(-0.5, num_errors=2)
    assert not found.is_clearly_below(-0.9, num_errors=2)

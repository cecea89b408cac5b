"""Paired differences against textbook formulas."""

import numpy as np
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


def test_clearly_below_needs_more_than_the_errors() -> None:
    found = compare(NONE, ALL)
    assert found.is_clearly_below(-0.5, num_errors=2)
    assert not found.is_clearly_below(-0.9, num_errors=2)

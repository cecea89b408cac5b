from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relex.config import SelectionConfig
from relex.selection import bootstrap_interval
from relex.selection.facts import accuracy_by_group, pass_at_each

CONFIG = SelectionConfig(num_resamples=1000)


def pass_at_each_value(correct_QK):
    return {entry.k: entry.value for entry in pass_at_each(correct_QK, CONFIG, seed=0)}


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(0, 1000))
def test_pass_at_k_is_the_share_of_all_choices_of_k_answers_with_a_correct_one(num_samples, seed):
    correct_QK = np.random.default_rng(seed).random((5, num_samples)) < 0.4
    for k, value in pass_at_each_value(correct_QK).items():
        choices = [any(c) for row in correct_QK for c in combinations(row, k)]
        assert value == pytest.approx(np.mean(choices))


def test_k_are_the_powers_of_two_and_all_samples():
    found = {n: [*pass_at_each_value(np.ones((3, n), dtype=bool))] for n in (1, 2, 6, 16)}
    assert found == {1: [1], 2: [1, 2], 6: [1, 2, 4, 6], 16: [1, 2, 4, 8, 16]}


def test_pass_at_1_is_the_accuracy_with_its_interval():
    correct_QK = np.random.default_rng(0).random((80, 4)) < 0.5
    first = pass_at_each(correct_QK, CONFIG, seed=0)[0]
    interval = bootstrap_interval(correct_QK, CONFIG, seed=0)
    assert first.value == pytest.approx(correct_QK.mean())
    assert (first.interval.low, first.interval.high) == pytest.approx((interval.low, interval.high))


def test_pass_at_k_has_no_bias_and_its_interval_covers_the_truth():
    """The expectation over questions with shares from beta(1, 2) of 1 - (1 - share)^2 is 1/2."""
    rng = np.random.default_rng(0)
    entries = []
    for seed in range(600):
        correct_QK = rng.random((100, 4)) < rng.beta(1, 2, size=(100, 1))
        entries.append(pass_at_each(correct_QK, CONFIG, seed)[1])
    assert np.mean([entry.value for entry in entries]) == pytest.approx(0.5, abs=0.005)
    covered = np.mean([entry.interval.low <= 0.5 <= entry.interval.high for entry in entries])
    assert 0.92 <= covered <= 0.98


def test_accuracy_is_told_for_each_group_and_not_for_questions_without_one():
    correct_QK = np.array([[True, True], [True, False], [False, False], [True, True]])
    groups = accuracy_by_group(correct_QK, ["hard", "easy", "hard", ""], CONFIG, seed=0)
    assert [(g.group, g.num_questions, g.accuracy) for g in groups] == [
        ("easy", 1, 0.5),
        ("hard", 2, 0.5),
    ]


def test_without_groups_nothing_is_told():
    assert accuracy_by_group(np.ones((3, 2), dtype=bool), (), CONFIG, seed=0) == ()

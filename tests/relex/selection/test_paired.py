import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from relex.config import SelectionConfig
from relex.selection import bootstrap_interval, paired_test

CONFIG = SelectionConfig(num_resamples=2000)


def draw_pair(rng, num_questions, num_samples, gain=0.0):
    """Two candidates on common questions of differing difficulty, the first better by `gain`."""
    share_Q1 = rng.uniform(0, 1 - gain, size=(num_questions, 1))
    shape = (num_questions, num_samples)
    return rng.random(shape) < share_Q1 + gain, rng.random(shape) < share_Q1


def test_the_p_value_agrees_with_the_exact_permutation_test_of_scipy():
    candidate_QK, reference_QK = draw_pair(np.random.default_rng(5), 12, 4, gain=0.1)
    difference_Q = candidate_QK.sum(axis=1) - reference_QK.sum(axis=1)
    exact = stats.permutation_test(
        (difference_Q,),
        np.sum,
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
    )
    ours = paired_test(candidate_QK, reference_QK, SelectionConfig(num_resamples=50_000), seed=0)
    assert 0.01 < exact.pvalue < 0.9
    assert ours.p_value == pytest.approx(exact.pvalue, abs=0.01)


@pytest.mark.parametrize(("num_repairs", "num_regressions"), [(14, 6), (3, 3), (0, 5), (9, 0)])
def test_with_single_samples_it_is_the_exact_mcnemar_test(num_repairs, num_regressions):
    candidate_QK = np.array([[True]] * num_repairs + [[False]] * num_regressions + [[True]] * 30)
    reference_QK = np.array([[False]] * num_repairs + [[True]] * num_regressions + [[True]] * 30)
    discordant = num_repairs + num_regressions
    mcnemar = stats.binomtest(num_repairs, discordant, alternative="greater").pvalue
    ours = paired_test(candidate_QK, reference_QK, CONFIG, seed=0)
    assert ours.p_value == pytest.approx(mcnemar, rel=1e-12)
    assert (ours.repairs, ours.regressions) == (num_repairs, num_regressions)


@settings(max_examples=50)
@given(st.integers(0, 80), st.integers(1, 80), st.integers(0, 20))
def test_the_exact_mcnemar_test_agrees_with_scipy_for_any_counts(repairs, regressions, both):
    candidate_QK = np.repeat([True, False, True], [repairs, regressions, both])[:, None]
    reference_QK = np.repeat([False, True, True], [repairs, regressions, both])[:, None]
    mcnemar = stats.binomtest(repairs, repairs + regressions, alternative="greater").pvalue
    assert paired_test(candidate_QK, reference_QK, CONFIG, seed=0).p_value == pytest.approx(mcnemar)


def test_the_ends_of_the_interval_are_near_those_of_the_t_test():
    """Each end is the bound of a one-sided test: at 95 % the two hold 90 %."""
    candidate_QK, reference_QK = draw_pair(np.random.default_rng(3), 150, 4, gain=0.1)
    ours = paired_test(candidate_QK, reference_QK, SelectionConfig(num_resamples=20_000), seed=1)
    difference_Q = candidate_QK.mean(axis=1) - reference_QK.mean(axis=1)
    theirs = stats.ttest_1samp(difference_Q, 0).confidence_interval(0.9)
    assert ours.interval.low == pytest.approx(theirs.low, abs=0.003)
    assert ours.interval.high == pytest.approx(theirs.high, abs=0.003)


def test_with_a_required_gain_the_p_value_agrees_with_scipy_on_the_shifted_differences():
    candidate_QK, reference_QK = draw_pair(np.random.default_rng(6), 12, 4, gain=0.2)
    exact = stats.permutation_test(
        (candidate_QK.mean(axis=1) - reference_QK.mean(axis=1) - 0.1,),
        np.sum,
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
    )
    config = SelectionConfig(num_resamples=50_000, require_gain=0.1)
    ours = paired_test(candidate_QK, reference_QK, config, seed=0)
    assert 0.001 < exact.pvalue < 0.9
    assert ours.p_value == pytest.approx(exact.pvalue, abs=0.01)


def test_with_a_required_gain_and_many_questions_it_agrees_with_the_t_test():
    candidate_QK, reference_QK = draw_pair(np.random.default_rng(2), 500, 2, gain=0.1)
    difference_Q = candidate_QK.mean(axis=1) - reference_QK.mean(axis=1)
    t_test = stats.ttest_1samp(difference_Q, 0.04, alternative="greater")
    config = SelectionConfig(num_resamples=50_000, require_gain=0.04)
    ours = paired_test(candidate_QK, reference_QK, config, seed=0)
    assert 0.001 < t_test.pvalue < 0.5
    assert ours.p_value == pytest.approx(t_test.pvalue, abs=0.01)


def test_repairs_less_regressions_are_the_difference():
    candidate_QK, reference_QK = draw_pair(np.random.default_rng(0), 50, 4, gain=0.1)
    test = paired_test(candidate_QK, reference_QK, CONFIG, seed=0)
    assert test.repairs == np.sum(candidate_QK > reference_QK)
    assert (test.repairs - test.regressions) / 200 == pytest.approx(test.difference)


def test_only_questions_that_both_answered_are_compared():
    candidate_QK, reference_QK = draw_pair(np.random.default_rng(0), 50, 4, gain=0.1)
    assert paired_test(candidate_QK[:20], reference_QK, CONFIG, seed=0) == paired_test(
        candidate_QK[:20], reference_QK[:20], CONFIG, seed=0
    )


def test_equal_candidates_are_called_better_in_about_5_percent_of_studies():
    rng = np.random.default_rng(0)
    p_values = [paired_test(*draw_pair(rng, 100, 2), CONFIG, seed).p_value for seed in range(800)]
    assert 0.03 <= np.mean(np.array(p_values) <= 0.05) <= 0.07


def test_the_truth_lies_above_the_lower_end_in_about_95_percent_of_studies_and_below_the_upper():
    rng = np.random.default_rng(0)
    tests = [paired_test(*draw_pair(rng, 100, 4, 0.1), CONFIG, seed) for seed in range(800)]
    for is_covered in (
        [t.interval.low <= 0.1 for t in tests],
        [t.interval.high >= 0.1 for t in tests],
    ):
        assert 0.93 <= np.mean(is_covered) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.0, 0.1, 0.3])
@pytest.mark.parametrize(("num_questions", "num_samples"), [(100, 1), (200, 1), (100, 16)])
def test_the_interval_of_the_difference_covers_any_gain(num_questions, num_samples, gain):
    rng = np.random.default_rng(0)
    pairs = [draw_pair(rng, num_questions, num_samples, gain) for _ in range(1000)]
    tests = [paired_test(*pair, CONFIG, seed) for seed, pair in enumerate(pairs)]
    for is_covered in (
        [t.interval.low <= gain for t in tests],
        [t.interval.high >= gain for t in tests],
    ):
        # Of 100 questions with one answer each a gain can only be one of few numbers.
        assert 0.925 <= np.mean(is_covered) <= 0.975


def test_identical_answers_are_no_difference_at_all():
    correct_QK, _ = draw_pair(np.random.default_rng(0), 50, 4)
    test = paired_test(correct_QK, correct_QK.copy(), CONFIG, seed=0)
    assert (test.difference, test.interval.low, test.interval.high, test.p_value) == (0, 0, 0, 1)


def test_the_p_value_is_never_zero():
    shape = (200, 4)
    test = paired_test(np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool), CONFIG, seed=0)
    assert test.p_value == 1 / 2001


def test_pairing_finds_a_small_gain_that_the_separate_intervals_hide():
    reference_QK = np.repeat(np.arange(200)[:, None] < 100, 4, axis=1)
    candidate_QK = np.repeat(np.arange(200)[:, None] < 106, 4, axis=1)
    test = paired_test(candidate_QK, reference_QK, CONFIG, seed=0)
    better, worse = (bootstrap_interval(m, CONFIG, 0) for m in (candidate_QK, reference_QK))
    assert better.low < worse.high
    assert test.p_value < 0.05


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), num_samples=st.integers(1, 5))
def test_swapping_the_two_mirrors_the_difference_and_its_p_value(seed, num_samples):
    candidate_QK, reference_QK = draw_pair(np.random.default_rng(seed), 40, num_samples)
    forward = paired_test(candidate_QK, reference_QK, CONFIG, seed=0)
    backward = paired_test(reference_QK, candidate_QK, CONFIG, seed=0)
    assert backward.difference == -forward.difference
    assert forward.p_value + backward.p_value >= 0.95


@settings(max_examples=30)
@given(seed=st.integers(0, 1000))
def test_the_order_of_the_questions_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    candidate_QK, reference_QK = draw_pair(rng, 40, 3)
    order_Q = rng.permutation(40)
    shuffled = paired_test(candidate_QK[order_Q], reference_QK[order_Q], CONFIG, seed=0)
    assert shuffled == paired_test(candidate_QK, reference_QK, CONFIG, seed=0)

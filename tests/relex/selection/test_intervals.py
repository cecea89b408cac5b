import numpy as np
import pytest
from scipy import stats

from relex.config import SelectionConfig
from relex.selection import bootstrap_interval

CONFIG = SelectionConfig(num_resamples=2000)


def draw_answers(rng, accuracy, num_questions, num_samples):
    """Answers whose questions differ in difficulty, with `accuracy` on average."""
    share_Q = rng.beta(2 * accuracy, 2 * (1 - accuracy), size=num_questions)
    return rng.random((num_questions, num_samples)) < share_Q[:, None]


def test_the_interval_agrees_with_the_bootstrap_of_scipy():
    correct_QK = draw_answers(np.random.default_rng(0), 0.6, 150, 4)
    config = SelectionConfig(num_resamples=20_000)
    ours = bootstrap_interval(correct_QK, config, seed=1)
    theirs = stats.bootstrap(
        (correct_QK.mean(axis=1),),
        np.mean,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx(theirs, abs=0.003)


def coverage(num_questions, num_samples, accuracy, num_studies):
    rng = np.random.default_rng(0)
    answers = [draw_answers(rng, accuracy, num_questions, num_samples) for _ in range(num_studies)]
    intervals = [bootstrap_interval(correct, CONFIG, seed) for seed, correct in enumerate(answers)]
    return np.mean([interval.low <= accuracy <= interval.high for interval in intervals])


@pytest.mark.parametrize(("num_questions", "num_samples"), [(30, 1), (200, 4)])
def test_an_interval_of_95_percent_covers_the_truth_in_about_95_percent_of_studies(
    num_questions, num_samples
):
    assert 0.92 <= coverage(num_questions, num_samples, 0.3, 800) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("num_samples", [1, 4, 16])
@pytest.mark.parametrize("num_questions", [100, 400])
def test_intervals_cover_the_truth_at_any_accuracy_and_number_of_answers(
    num_questions, num_samples, accuracy
):
    assert 0.925 <= coverage(num_questions, num_samples, accuracy, 2000) <= 0.975


def test_more_samples_of_the_same_questions_do_not_pretend_to_be_more_questions():
    easy_or_hard_Q1 = np.arange(100)[:, None] % 2 == 0
    once = bootstrap_interval(easy_or_hard_Q1, CONFIG, seed=0)
    eight_times = bootstrap_interval(np.repeat(easy_or_hard_Q1, 8, axis=1), CONFIG, seed=0)
    assert eight_times == once


def test_the_same_seed_gives_the_same_interval_and_another_seed_another_one():
    correct_QK = draw_answers(np.random.default_rng(0), 0.5, 100, 4)
    first, again, other = (bootstrap_interval(correct_QK, CONFIG, seed) for seed in (3, 3, 4))
    assert first == again != other


def test_a_higher_confidence_gives_a_wider_interval():
    correct_QK = draw_answers(np.random.default_rng(0), 0.5, 100, 4)
    usual = bootstrap_interval(correct_QK, CONFIG, seed=0)
    wide = bootstrap_interval(correct_QK, SelectionConfig(confidence=0.99), seed=0)
    assert wide.low < usual.low < usual.high < wide.high


def test_an_interval_never_leaves_zero_to_one():
    correct_QK = np.zeros((20, 1), dtype=bool)
    correct_QK[0] = True
    interval = bootstrap_interval(correct_QK, CONFIG, seed=0)
    assert 0 <= interval.low < interval.high <= 1

"""Candidates that are tested together: the decision, its interval and its level.

Q questions, K samples per question.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from relex.candidates import BASE, Candidate
from relex.config import SearchConfig, SelectionConfig
from relex.digests import sha256_bytes
from relex.search import Graded, full_grid, search
from relex.selection import Measured, decide, paired_test, paired_tests
from relex.selection.chance import Flips, McNemar

LAST_STEP = 30
LAST = Candidate(step=LAST_STEP)
TENSORS = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(28)]


def extrapolated(step):
    return Candidate(step=step, method="line")


def drawn(seed, shape, num_candidates, gain):
    """Answers of a reference and of candidates that resemble it and each other."""
    rng = np.random.default_rng(seed)
    share_Q1, common_QK = rng.uniform(0, 1, (shape[0], 1)), rng.random(shape)
    own = [np.where(rng.random(shape) < 0.5, common_QK, rng.random(shape)) for _ in range(9)]
    reference_QK, *others = own[: num_candidates + 1]
    return reference_QK < share_Q1, [other < share_Q1 + gain for other in others]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shape=st.sampled_from([(1, 1), (3, 1), (5, 2), (20, 1), (30, 3), (60, 2)]),
    num_candidates=st.integers(1, 5),
    num_dropped=st.integers(0, 3),
    gain=st.sampled_from([0.0, 0.1, 0.2, 1.0]),
    required=st.sampled_from([0.0, 0.05, 0.1]),
    confidence=st.sampled_from([0.6, 0.9, 0.95, 0.99]),
)
def test_a_candidate_passes_exactly_when_its_interval_lies_above_what_is_required(
    seed, shape, num_candidates, num_dropped, gain, required, confidence
):
    reference_QK, answers = drawn(seed, shape, num_candidates + num_dropped, gain)
    measured = [Measured(LAST, reference_QK)]
    for number, correct_QK in enumerate(answers):
        asked = shape[0] if number < num_candidates else (shape[0] + 1) // 2
        measured.append(Measured(extrapolated(60 + number), correct_QK[:asked]))
    config = SelectionConfig(num_resamples=1000, require_gain=required, confidence=confidence)
    decision = decide(measured, config, seed=seed)
    tested = [result for result in decision.results if result.is_tested]
    for result in tested:
        is_above = result.to_last_observed.interval.low > required
        assert result.passes(confidence, LAST) == is_above
    chosen = decision.result(decision.chosen)
    assert (decision.chosen != LAST) == (decision.better != ())
    assert chosen.candidate == LAST or chosen.to_last_observed.interval.low > required


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_exact_test_and_the_flips_of_a_sign_have_one_critical_value(repairs, regressions):
    exact = McNemar(repairs + regressions)
    statistic = (repairs - regressions) / max(repairs + regressions, 1) ** 0.5
    for limit in (0.01, 0.05, 0.3):
        assert (exact.p_value(statistic) <= limit) == (statistic > exact.critical(limit))


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=50))
def test_what_exceeds_the_critical_value_is_what_has_a_small_p_value(largest):
    flips = Flips(np.sort(largest)[::-1])
    for limit in (0.01, 0.05, 0.3):
        for statistic in (-1.0, 0.0, 0.5, 1.0, 2.0, 3.0):
            is_small = flips.p_value(statistic) <= limit
            assert is_small == (statistic > flips.critical(limit))


def test_the_p_value_of_two_together_agrees_with_all_flips_of_their_questions():
    reference_QK, answers = drawn(4, (10, 3), 2, 0.25)
    difference_QC = np.stack([a.sum(1) - reference_QK.sum(1) for a in answers], axis=1)
    scaled_QC = difference_QC / np.linalg.norm(difference_QC, axis=0)
    sign_RQ = 2 * (np.arange(2**10)[:, None] >> np.arange(10) & 1) - 1
    largest_R = (sign_RQ @ scaled_QC).max(axis=1)
    exact = [np.mean(largest_R >= z - 1e-9) for z in scaled_QC.sum(axis=0)]
    config = SelectionConfig(num_resamples=50_000)
    pairs = [(correct_QK, reference_QK) for correct_QK in answers]
    ours = [test.p_value for test in paired_tests(pairs, config, seed=0)]
    assert 0.005 < min(exact) < 0.5
    assert ours == pytest.approx(exact, abs=0.01)


def test_a_candidate_dropped_early_counts_behind_each_that_went_further():
    """Two rungs: the earlier one's first answers may stand before any of the later ones'."""
    reference_QK, answers = drawn(2, (40, 2), 4, 0.1)
    first, second, third, fourth = [(correct_QK, reference_QK) for correct_QK in answers]
    joined_QK = [
        np.concatenate([fourth[0][:10], *rest])
        for rest in (
            [first[0][10:]],
            [second[0][10:]],
            [third[0][10:20], first[0][20:]],
            [third[0][10:20], second[0][20:]],
        )
    ]
    joined_QK += [np.concatenate([third[0][:20], each[0][20:]]) for each in (first, second)]
    config = SelectionConfig(num_resamples=20_000)
    dropped = [(fourth[0][:10], reference_QK), (third[0][:20], reference_QK)]
    ours = paired_tests([first, second], config, 0, dropped)
    whole = paired_tests([first, second, *((q, reference_QK) for q in joined_QK)], config, 0)
    assert [t.p_value for t in ours] == pytest.approx([t.p_value for t in whole[:2]], abs=0.01)


def test_a_dropped_candidate_costs_less_than_one_that_was_followed_and_more_than_nothing():
    reference_QK, answers = drawn(1, (200, 2), 4, 0.04)
    first, *others = [(correct_QK, reference_QK) for correct_QK in answers]
    fewer = [(correct_QK[:40], reference_QK) for correct_QK, _ in others]
    config = SelectionConfig(num_resamples=20_000)
    alone, dropped, followed = (
        paired_tests(pairs, config, 0, short)[0]
        for pairs, short in (([first], ()), ([first], fewer), ([first, *others], ()))
    )
    assert alone.p_value < dropped.p_value < followed.p_value
    assert alone.interval.low > dropped.interval.low > followed.interval.low


def spread(seed, num_correct):
    """60 questions with 2 samples, of which this many answers are correct."""
    return np.random.default_rng(seed).permutation(120).reshape(60, 2) < num_correct


@pytest.mark.parametrize("seed", [2, 12, 17, 18, 37, 38, 39])
def test_the_same_evidence_is_chosen_from_a_list_and_after_a_search(seed):
    """A gain of .15 beside two other targets, or beside five that answered half of the questions:
    six whole comparisons would hide it."""
    last, good = (
        Measured(LAST, spread(seed, 31)),
        Measured(extrapolated(64), spread(seed + 100, 49)),
    )
    others = [Measured(extrapolated(70 + n), spread(1000 + 10 * seed + n, 36)) for n in range(5)]
    probes = [Measured(other.candidate, other.correct_QK[:30]) for other in others]
    config = SelectionConfig(num_resamples=2000)
    assert 6 * paired_test(good.correct_QK, last.correct_QK, config, seed=0).p_value > 0.05
    for rivals in (others[:2], probes):
        decision = decide([last, good, *rivals], config, seed=0)
        assert decision.chosen == good.candidate
        assert "is more than chance explains" in decision.reason


class Equals:
    """Every candidate answers as well as the others, the last observed step worse by `harm`;
    answers resemble each other."""

    def __init__(self, seed, shape, harm=0.0):
        self._seed, self.shape, self._harm = seed, shape, harm
        rng = np.random.default_rng(seed)
        self._share_Q1, self._common_QK = rng.beta(1, 2, (shape[0], 1)), rng.random(shape)

    def correct_QK(self, candidate):
        own = int(sha256_bytes(candidate.key.encode())[:8], 16)
        rng = np.random.default_rng([self._seed, own])
        is_common, own_QK = rng.random(self.shape) < 0.5, rng.random(self.shape)
        harm = self._harm if candidate == LAST else 0.0
        return np.where(is_common, self._common_QK, own_QK) < self._share_Q1 - harm

    def measure(self, candidate, num_questions):
        correct_QK = self.correct_QK(candidate)[:num_questions]
        return Graded(correct_QK, correct_QK.size)


def found_by_search(run):
    config = SearchConfig()
    graded = search(run.measure, LAST_STEP, run.shape[0], config, tensors=TENSORS).graded
    return [Measured(candidate, each.correct_QK) for candidate, each in graded.items()]


def listed(run):
    candidates = [BASE, LAST, *full_grid(LAST_STEP, SearchConfig())[:10]]
    return [Measured(candidate, run.correct_QK(candidate)) for candidate in candidates]


def test_where_nothing_is_better_the_last_step_is_replaced_in_at_most_5_percent_of_searches():
    config, num_runs = SelectionConfig(num_resamples=1000), 100
    runs = (Equals(seed, (60, 2)) for seed in range(num_runs))
    num_wrong = sum(decide(found_by_search(run), config, 0).chosen != LAST for run in runs)
    assert num_wrong <= stats.binom.ppf(0.99, num_runs, 0.05)


@pytest.mark.parametrize("measure", [found_by_search, listed])
def test_where_training_did_harm_what_is_no_better_than_the_base_is_taken_in_at_most_5_percent(
    measure, num_runs=60
):
    config = SelectionConfig(num_resamples=1000)
    runs = (Equals(seed, (200, 4), harm=0.15) for seed in range(num_runs))
    chosen = [decide(measure(run), config, 0).chosen for run in runs]
    num_wrong = sum(each not in (BASE, LAST) for each in chosen)
    assert num_wrong <= stats.binom.ppf(0.99, num_runs, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(60, 2), (200, 4)])
@pytest.mark.parametrize("measure", [found_by_search, listed])
def test_the_level_is_kept_over_many_runs_and_is_not_wasted(measure, shape):
    config, num_runs = SelectionConfig(num_resamples=1000), 800
    runs = (Equals(seed, shape) for seed in range(num_runs))
    num_wrong = sum(decide(measure(run), config, 0).chosen != LAST for run in runs)
    assert num_wrong >= stats.binom.ppf(0.01, num_runs, 0.02)
    assert num_wrong <= stats.binom.ppf(0.99, num_runs, 0.05)

"""Is a candidate better than a reference that answered the same questions?

Both are compared question by question, so that hard and easy questions cancel. The hypothesis to
refute is that the candidate gains no more than `require_gain`.

With one sample per question and no required gain this is the exact one-sided McNemar test: of the
questions that only one of the two answers correctly, each is a coin flip (McNemar 1947).

Otherwise the signs of the questions' differences, less the required gain, are flipped. The p-value
is the share of flips that give at least the observed sum, with the observed one counted among them
(Phipson and Smyth 2010), and so is never zero. Without a required gain the test is exact for
equal candidates; with one its level holds for many questions, as that of a t-test does.

Without a required gain differences are whole numbers of samples, so equal sums compare as equal.
As in `intervals`, questions of the same size of difference are flipped together, by one binomial.

Q questions, K samples per question, V distinct sizes of difference, R resamples.
"""

import numpy as np
import numpy.typing as npt
from scipy import stats

from relex.config import SelectionConfig
from relex.config.strict import Strict
from relex.selection.intervals import Interval, mean_interval

ROUNDING = 1e-9
"""Sums of differences, in samples, that are closer than this are equal."""


class PairedTest(Strict):
    """A candidate against a reference on the questions that both answered."""

    num_questions: int
    """Questions that both answered."""

    difference: float
    """Accuracy of the candidate minus accuracy of the reference."""

    interval: Interval
    """Two-sided bootstrap interval of the difference."""

    p_value: float
    """One-sided: small when the candidate is better by more than the required gain. Not corrected
    for other comparisons."""

    repairs: int
    """Answers that the reference has wrong and the candidate right; an answer of the two is the
    same question, sample and seed."""

    regressions: int
    """Answers that the reference has right and the candidate wrong."""


def paired_test(
    candidate_QK: npt.NDArray[np.bool_],
    reference_QK: npt.NDArray[np.bool_],
    config: SelectionConfig,
    seed: int,
) -> PairedTest:
    """Compare two bool matrices with one number of samples, row by row the same questions.

    Of two that answered different numbers of questions the first ones, which both answered, count.
    """
    num_questions = min(len(candidate_QK), len(reference_QK))
    candidate_QK, reference_QK = candidate_QK[:num_questions], reference_QK[:num_questions]
    num_samples = candidate_QK.shape[1]
    difference_Q = candidate_QK.sum(axis=1) - reference_QK.sum(axis=1)
    repairs = int((candidate_QK & ~reference_QK).sum())
    regressions = int((reference_QK & ~candidate_QK).sum())
    if is_exact(num_samples, config):
        p_value = _mcnemar_p_value(repairs, regressions)
    else:
        excess_Q = difference_Q - config.require_gain * num_samples
        p_value = _sign_flip_p_value(excess_Q, config.num_resamples, seed)
    return PairedTest(
        num_questions=num_questions,
        difference=float(difference_Q.mean() / num_samples),
        interval=mean_interval(difference_Q / num_samples, config, seed),
        p_value=p_value,
        repairs=repairs,
        regressions=regressions,
    )


def is_exact(num_samples: int, config: SelectionConfig) -> bool:
    """Whether the p-value is that of the exact McNemar test and not of resampling."""
    return num_samples == 1 and config.require_gain == 0


def _mcnemar_p_value(num_only_candidate: int, num_only_reference: int) -> float:
    """Chance of at least so many heads in fair flips."""
    num_flips = num_only_candidate + num_only_reference
    return float(stats.binom.sf(num_only_candidate - 1, num_flips, 0.5))


def _sign_flip_p_value(excess_Q: npt.NDArray[np.float64], num_resamples: int, seed: int) -> float:
    size_V, count_V = np.unique(np.abs(excess_Q), return_counts=True)
    rng = np.random.default_rng(seed)
    positive_RV = rng.binomial(count_V, 0.5, size=(num_resamples, count_V.size))
    sum_R = (2 * positive_RV - count_V) @ size_V
    num_at_least = int(np.count_nonzero(sum_R >= excess_Q.sum() - ROUNDING))
    return (1 + num_at_least) / (1 + num_resamples)

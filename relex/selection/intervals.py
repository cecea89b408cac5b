"""The bootstrap interval of an accuracy.

Questions are drawn with replacement and keep all their samples, because answers to one question
resemble each other. A resample matters only through how often each distinct value was drawn, so we
draw those counts (one multinomial): the same bootstrap, at a cost that does not grow with Q.

The percentile interval (Efron and Tibshirani 1993, chapter 13) is enough here: a mean over
questions is unbiased and, from a hundred questions on, nearly symmetric, which leaves BCa little to
correct. Like every bootstrap it has no width where all questions gave the same value.

Q questions, K samples per question, V distinct values, R resamples.
"""

import numpy as np
import numpy.typing as npt

from relex.config import SelectionConfig
from relex.strict import Strict


class Interval(Strict):
    """Bounds of an interval, both included."""

    low: float
    """Lower bound."""

    high: float
    """Upper bound."""


def bootstrap_interval(
    correct_QK: npt.NDArray[np.bool_], config: SelectionConfig, seed: int
) -> Interval:
    """Interval of the accuracy of bool `correct_QK`, at the recipe's confidence."""
    return mean_interval(correct_QK.mean(axis=1), config, seed)


def mean_interval(value_Q: npt.NDArray[np.float64], config: SelectionConfig, seed: int) -> Interval:
    """Percentile bootstrap interval of the mean of one value per question."""
    value_V, count_V = np.unique(value_Q, return_counts=True)
    rng = np.random.default_rng(seed)
    drawn_RV = rng.multinomial(value_Q.size, count_V / value_Q.size, size=config.num_resamples)
    mean_R = drawn_RV @ value_V / value_Q.size
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(mean_R, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))

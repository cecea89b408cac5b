"""What chance makes of candidates that are compared with one reference on the same questions.

The statistic of a candidate is `sum(d) / sqrt(sum(d ** 2))` over the differences `d` of its
questions: Student's t in another scale, whose denominator no flip of signs changes, and McNemar's
where there is one answer per question. When no candidate is better, the differences of a question
might as well have the opposite signs. A flip turns over all columns of a question together, so that
candidates go on resembling each other, and of every flip the largest statistic counts: what exceeds
all but 5 % of these is better than the reference, however many were compared (the max statistic of
Westfall and Young 1993, chapter 2). Candidates that answer alike hardly cost more than one.

Q questions, C columns, V distinct rows of differences, R resamples.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import stats

ROUNDING = 1e-9
"""Statistics that are closer than this are equal."""
NUM_AT_ONCE = 1000
"""Resamples in memory."""


def statistics(difference_QC: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """One per column; 0 where nothing differs."""
    statistic_C: npt.NDArray[np.float64] = _scaled(difference_QC).sum(axis=0)
    return statistic_C


class Chance(Protocol):
    """The distribution of the largest statistic when no candidate is better."""

    def p_value(self, statistic: float) -> float:
        """Chance of at least this."""

    def critical(self, limit: float) -> float:
        """What a statistic exceeds exactly when its p-value is at most `limit`."""


@dataclass(frozen=True)
class Flips:
    """By resampling, with what was observed among the flips (Phipson and Smyth 2010)."""

    largest_R: npt.NDArray[np.float64]
    """Descending."""

    def p_value(self, statistic: float) -> float:
        num_at_least = int(np.count_nonzero(self.largest_R >= statistic - ROUNDING))
        return (1 + num_at_least) / (1 + self.largest_R.size)

    def critical(self, limit: float) -> float:
        p_value_R = np.arange(1, self.largest_R.size + 1) / (1 + self.largest_R.size)
        num_allowed = int(np.count_nonzero(p_value_R <= limit))
        return float(self.largest_R[num_allowed - 1]) + ROUNDING if num_allowed else math.inf


def flip_signs(difference_QC: npt.NDArray[np.float64], num_resamples: int, seed: int) -> Flips:
    """Flip the signs of questions; those with the same differences together, by one binomial."""
    row_VC, count_V = np.unique(_scaled(difference_QC), axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    largest = []
    for start in range(0, num_resamples, NUM_AT_ONCE):
        shape = (min(NUM_AT_ONCE, num_resamples - start), count_V.size)
        positive_RV = rng.binomial(count_V, 0.5, size=shape)
        largest.append(((2 * positive_RV - count_V) @ row_VC).max(axis=1))
    return Flips(np.sort(np.concatenate(largest))[::-1])


@dataclass(frozen=True)
class McNemar:
    """Exact, of one candidate with one answer per question (McNemar 1947): each question that only
    one of the two answers correctly is the flip of a coin."""

    num_discordant: int

    def p_value(self, statistic: float) -> float:
        root = math.sqrt(self.num_discordant)
        num_repairs = round((statistic * root + self.num_discordant) / 2)
        return float(stats.binom.sf(num_repairs - 1, self.num_discordant, 0.5))

    def critical(self, limit: float) -> float:
        num_repairs = np.arange(self.num_discordant + 1)
        is_above = stats.binom.sf(num_repairs - 1, self.num_discordant, 0.5) > limit
        most = int(np.count_nonzero(is_above)) - 1
        root = math.sqrt(max(self.num_discordant, 1))
        return (2 * most - self.num_discordant) / root + ROUNDING


def _scaled(difference_QC: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Columns of length 1, so that their sums are the statistics."""
    length_C = np.sqrt((difference_QC**2).sum(axis=0))
    scaled_QC: npt.NDArray[np.float64] = difference_QC / np.where(length_C == 0, 1, length_C)
    return scaled_QC

"""Is a candidate better than a reference that answered the same questions?

Both are compared question by question, so that hard and easy questions cancel. Under the
hypothesis of no difference the sign of each question's difference is a coin flip; the p-value is
the share of flips that give at least the observed sum, with the observed one counted among them
(Phipson and Smyth 2010), and so is never zero.

Differences are counted in whole samples, because equal sums must compare as equal. As in
`intervals`, questions of the same size of difference are flipped together, by one binomial.

Q questions, K samples per question, V distinct sizes of difference, R resamples.
"""

import numpy as np
import numpy.typing as npt

from relex.config import SelectionConfig
from relex.config.strict import Strict
from relex.selection.intervals import Interval, mean_interval


class PairedTest(Strict):
    """A candidate against a reference on the same questions."""

    difference: float
    """Accuracy of the candidate minus accuracy of the reference."""

    interval: Interval
    """Two-sided bootstrap interval of the difference."""

    p_value: float
    """One-sided: small when the candidate is better. Not corrected for other comparisons."""


def paired_test(
    candidate_QK: npt.NDArray[np.bool_],
    reference_QK: npt.NDArray[np.bool_],
    config: SelectionConfig,
    seed: int,
) -> PairedTest:
    """Compare two bool matrices of one shape, row by row the same questions."""
    num_samples = candidate_QK.shape[1]
    difference_Q = candidate_QK.sum(axis=1) - reference_QK.sum(axis=1)
    return PairedTest(
        difference=float(difference_Q.mean() / num_samples),
        interval=mean_interval(difference_Q / num_samples, config, seed),
        p_value=_sign_flip_p_value(difference_Q, config.num_resamples, seed),
    )


def _sign_flip_p_value(difference_Q: npt.NDArray[np.int64], num_resamples: int, seed: int) -> float:
    size_V, count_V = np.unique(np.abs(difference_Q), return_counts=True)
    rng = np.random.default_rng(seed)
    positive_RV = rng.binomial(count_V, 0.5, size=(num_resamples, count_V.size))
    sum_R = (2 * positive_RV - count_V) @ size_V
    num_at_least = int(np.count_nonzero(sum_R >= difference_Q.sum()))
    return (1 + num_at_least) / (1 + num_resamples)

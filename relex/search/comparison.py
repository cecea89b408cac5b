"""The difference of two candidates on the questions that both answered.

The mean over the questions of the paired differences, and its standard error, which questions that
are hard or easy for both do not widen. Where the differences do not vary, as when few questions
were asked, the error would be zero; one more question that differs by a whole answer is counted, so
that few questions are never certain.

Q questions, K samples per question.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_ERRORS = 1.64
"""Standard errors that make a difference clear: 95 % on one side."""


@dataclass(frozen=True)
class Comparison:
    """A mean difference and its standard error, in shares of correct answers."""

    difference: float
    error: float

    def is_clearly_below(self, bound: float, num_errors: float = NUM_ERRORS) -> bool:
        """Whether the difference is below `bound` by more than `num_errors` standard errors."""
        return self.difference + num_errors * self.error < bound


def compare(one_QK: npt.NDArray[np.bool_], other_QK: npt.NDArray[np.bool_]) -> Comparison:
    """`one` minus `other`; rows are the same questions, of which one may have answered fewer."""
    num_both = min(len(one_QK), len(other_QK))
    difference_Q = one_QK[:num_both].mean(axis=1) - other_QK[:num_both].mean(axis=1)
    squares = float(((difference_Q - difference_Q.mean()) ** 2).sum()) + 1 / one_QK.shape[1]
    return Comparison(
        difference=float(difference_Q.mean()),
        error=math.sqrt(squares / num_both / num_both),
    )

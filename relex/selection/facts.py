"""What is told about a candidate beside its accuracy: pass at k, and accuracy by group.

Pass at k is the chance that at least one of k answers to a question is correct. From K >= k answers
of which c are correct it is estimated without bias by 1 - C(K - c, k) / C(K, k) (Chen et al. 2021,
arXiv 2107.03374, equation 1), and averaged over the questions.

Q questions, K samples per question.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import comb

from relex.config import SelectionConfig
from relex.selection.intervals import Interval, bootstrap_interval, mean_interval
from relex.strict import Strict


class PassAt(Strict):
    """Chance that at least one of k answers is correct."""

    k: int
    """Answers that are drawn."""

    value: float
    """Estimate without bias."""

    interval: Interval
    """Bootstrap interval over the questions."""


class GroupAccuracy(Strict):
    """Accuracy on the questions of one group, such as a difficulty or a subject."""

    group: str
    """Its name in the data."""

    num_questions: int
    """Questions in it that were answered."""

    accuracy: float
    """Share of correct answers."""

    interval: Interval
    """Bootstrap interval of the accuracy."""


def pass_at_each(
    correct_QK: npt.NDArray[np.bool_], config: SelectionConfig, seed: int
) -> tuple[PassAt, ...]:
    """Pass at 1, 2, 4, ... up to K, and at K itself."""
    num_samples = correct_QK.shape[1]
    powers = [2**exponent for exponent in range(num_samples.bit_length())]
    return tuple(
        _pass_at(correct_QK, k, config, seed) for k in dict.fromkeys([*powers, num_samples])
    )


def _pass_at(
    correct_QK: npt.NDArray[np.bool_], k: int, config: SelectionConfig, seed: int
) -> PassAt:
    num_samples = correct_QK.shape[1]
    num_wrong_Q = num_samples - correct_QK.sum(axis=1)
    value_Q = 1 - comb(num_wrong_Q, k) / comb(num_samples, k)
    return PassAt(k=k, value=float(value_Q.mean()), interval=mean_interval(value_Q, config, seed))


def accuracy_by_group(
    correct_QK: npt.NDArray[np.bool_], group_Q: Sequence[str], config: SelectionConfig, seed: int
) -> tuple[GroupAccuracy, ...]:
    """One entry per name in `group_Q`, by name; questions without a group (`""`) are left out."""
    names_Q = np.array(group_Q, dtype=object)
    entries = []
    for name in sorted({*group_Q} - {""}):
        chosen_QK = correct_QK[names_Q == name]
        entries.append(
            GroupAccuracy(
                group=name,
                num_questions=len(chosen_QK),
                accuracy=float(chosen_QK.mean()),
                interval=bootstrap_interval(chosen_QK, config, seed),
            )
        )
    return tuple(entries)


class Habits(Strict):
    """Shares and means over all answers of a candidate."""

    truncated_fraction: float
    """Share of answers that were cut at the token limit."""

    repeating_fraction: float
    """Share of answers that end in a loop."""

    correct_tokens: float | None
    """Tokens per correct answer; None where none is correct."""

    format_value: float | None
    """Mean of the recipe's format rewards; None where it has none."""

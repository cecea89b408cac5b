"""Is a candidate better than a reference that answered the same questions?

Both are compared question by question, so that hard and easy questions cancel. The hypothesis to
refute is that the candidate gains no more than `require_gain`. `chance` says how the p-value is
found: for one candidate with one answer per question and no required gain by the exact McNemar
test, otherwise by flipping the signs of the questions' differences, less the required gain. Without
a required gain that is exact for one candidate; with one, or with several candidates together, its
level holds for many questions, as that of a t-test does.

The interval is the same test turned round: it holds the gains that the test refutes neither
upwards nor downwards. So a candidate passes exactly when its interval lies above the required gain.
The statistic is `sqrt(Q) (mean - gain) / sqrt(variance + (mean - gain) ** 2)`; where it is the
critical value `c` are the ends, `mean -+ c sqrt(variance / (Q - c ** 2))`.

Q questions, K samples per question, C candidates.
"""

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from relex.config import SelectionConfig
from relex.selection.chance import Chance, McNemar, flip_signs, statistics
from relex.selection.intervals import Interval
from relex.strict import Strict

Pair = tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]
"""Answers of a candidate and of the reference, with one number of samples; rows are the same
questions. Of two that answered different numbers of questions the first ones, which both answered,
count."""


class PairedTest(Strict):
    """A candidate against a reference on the questions that both answered."""

    num_questions: int
    """Questions that both answered."""

    difference: float
    """Accuracy of the candidate minus accuracy of the reference."""

    interval: Interval
    """The differences that the test does not refute. At the recipe's confidence the true ones of
    all that were compared together lie above their lower ends; as surely below their upper."""

    p_value: float
    """One-sided: small when the candidate is better by more than the required gain. The chance that
    any of those that were compared together does so well without being better."""

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
    """Compare two candidates, and no others."""
    return paired_tests([(candidate_QK, reference_QK)], config, seed)[0]


def paired_tests(
    pairs: Sequence[Pair],
    config: SelectionConfig,
    seed: int,
    dropped: Sequence[Pair] = (),
    gains: Sequence[float] = (),
) -> list[PairedTest]:
    """Compare several candidates with one reference, together.

    `gains` are what each has to gain at least; by default `config.require_gain`.

    All answered the same questions, but those that were `dropped` after the first ones. These are
    not tested, but they were tries that chance had: each could have been followed in the place of
    any that answered more. So it counts with its own answers to the first questions and, behind
    them, with those of each that was followed, which is less than a whole candidate more.
    """
    pairs = [_common(pair) for pair in pairs]
    required = gains or [config.require_gain] * len(pairs)
    excess_QC = np.stack([_excess(*each) for each in zip(pairs, required, strict=True)], axis=1)
    chance = _chance(pairs, excess_QC, config, seed, [_common(pair) for pair in dropped])
    return [
        _result(pair, statistic, chance, config)
        for pair, statistic in zip(pairs, statistics(excess_QC).tolist(), strict=True)
    ]


def is_exact(num_candidates: int, num_samples: int, config: SelectionConfig) -> bool:
    """Whether the p-value is that of the exact McNemar test and not of resampling."""
    return num_candidates == num_samples == 1 and config.require_gain == 0


def _common(pair: Pair) -> Pair:
    num_questions = min(map(len, pair))
    return pair[0][:num_questions], pair[1][:num_questions]


def _difference(pair: Pair) -> npt.NDArray[np.float64]:
    """By question, in samples: whole numbers, whose sums are exact in any order."""
    candidate_QK, reference_QK = pair
    difference_Q: npt.NDArray[np.float64] = candidate_QK.sum(axis=1) - reference_QK.sum(axis=1)
    return difference_Q


def _excess(pair: Pair, gain: float) -> npt.NDArray[np.float64]:
    excess_Q: npt.NDArray[np.float64] = _difference(pair) - gain * pair[0].shape[1]
    return excess_Q


def _chance(
    pairs: Sequence[Pair],
    excess_QC: npt.NDArray[np.float64],
    config: SelectionConfig,
    seed: int,
    dropped: Sequence[Pair],
) -> Chance:
    if is_exact(len(pairs) + len(dropped), pairs[0][0].shape[1], config):
        return McNemar(num_discordant=int(np.abs(excess_QC).sum()))
    columns = list(excess_QC.T)
    required = config.require_gain
    shorter = sorted((_excess(pair, required) for pair in dropped), key=len, reverse=True)
    for num_questions, group in groupby(shorter, key=len):
        own = list(group)
        columns += [np.append(q, longer[num_questions:]) for q in own for longer in columns]
    return flip_signs(np.column_stack(columns), config.num_resamples, seed)


def _result(pair: Pair, statistic: float, chance: Chance, config: SelectionConfig) -> PairedTest:
    candidate_QK, reference_QK = pair
    num_questions, num_samples = candidate_QK.shape
    difference_Q = _difference(pair)
    mean = float(difference_Q.sum()) / num_questions / num_samples
    variance = float((difference_Q**2).sum()) / num_questions / num_samples**2 - mean**2
    reach = _reach(variance, num_questions, chance.critical(1 - config.confidence))
    return PairedTest(
        num_questions=num_questions,
        difference=mean,
        interval=Interval(low=max(mean - reach, -1.0), high=min(mean + reach, 1.0)),
        p_value=chance.p_value(statistic),
        repairs=int((candidate_QK & ~reference_QK).sum()),
        regressions=int((reference_QK & ~candidate_QK).sum()),
    )


def _reach(variance: float, num_questions: int, critical: float) -> float:
    """From the mean to the ends of its interval; without bound where no statistic could pass."""
    if critical**2 >= num_questions:
        return math.inf
    return critical * math.sqrt(max(variance, 0.0) / (num_questions - critical**2))

"""Where the search may look, and on how many questions.

Targets stand in a geometric progression of lengths of the window: on the way outwards each is a
stride (sqrt(2), or 2 where few can be tried) times the one before; around the best one half strides
are taken. Of the questions candidates answer some, before the better ones answer more.

Q questions, K samples per question.
"""

import math

import numpy as np
import numpy.typing as npt

from relex.candidates import LINE, Candidate
from relex.config import SearchConfig
from relex.search.trials import NUM_ERRORS

STRIDE = 2**0.5
WIDE_STRIDE = 2.0
NEAR = (1.1, 1.2)
ROUNDING = 1e-9
QUESTION_FRACTIONS = (0.0625, 0.25)
"""Shares of the questions that all candidates and the better ones answer; finalists answer all."""

MIN_QUESTIONS = 20
"""Fewest questions that anything is judged by. Where samples are few they are as many as make a
loss of `COLLAPSE` clear, but no more than half of all."""

COLLAPSE = 0.1
"""Loss against the last observed step that, when it is clear, ends the way outwards at once."""


def way_outwards(last_step: int, config: SearchConfig, stride: float = STRIDE) -> list[Candidate]:
    """Targets at 1.4, 2, 2.8, 4, ... lengths of the window, ascending."""
    return _targets(last_step, config, [stride**n for n in range(1, _num_strides(config) + 1)])


def near_targets(last_step: int, config: SearchConfig) -> list[Candidate]:
    """Targets just beyond the window, ascending."""
    return _targets(last_step, config, NEAR)


def neighbours(
    target: int, last_step: int, config: SearchConfig, stride: float = STRIDE
) -> list[Candidate]:
    """The targets half a stride before and after."""
    length, half = target / last_step, stride**0.5
    return _targets(last_step, config, [length / half, length * half])


def full_grid(last_step: int, config: SearchConfig) -> list[Candidate]:
    """Every target, half a stride from each other: what would be measured without a search."""
    num_halves = 2 * _num_strides(config) + 1
    half = STRIDE**0.5
    return _targets(last_step, config, [half**n for n in range(1, num_halves + 1)])


def _num_strides(config: SearchConfig) -> int:
    """Strides from the window to the farthest target that is allowed."""
    number = 0
    while STRIDE ** (number + 1) <= config.farthest + ROUNDING:
        number += 1
    return max(number, 1)


def _targets(
    last_step: int, config: SearchConfig, lengths: list[float] | tuple[float, ...]
) -> list[Candidate]:
    farthest = config.farthest + ROUNDING
    steps = {round(length * last_step) for length in lengths if length <= farthest}
    return [Candidate(step=step, method=LINE) for step in sorted(steps) if step > last_step]


def rungs(correct_QK: npt.NDArray[np.bool_]) -> list[int]:
    """Numbers of questions, ascending and each at least twice the one before; the last is all.

    The answers of the last observed step say how much a difference on one question varies, at most:
    as it does when the answers of two candidates have nothing in common.
    """
    num_questions, num_samples = correct_QK.shape
    accuracy = float(correct_QK.mean())
    variance = 2 * accuracy * (1 - accuracy) / num_samples
    clear = math.ceil(variance * (NUM_ERRORS / COLLAPSE) ** 2)
    fewest = max(MIN_QUESTIONS, min(clear, num_questions // 2))
    numbers: list[int] = []
    for fraction in QUESTION_FRACTIONS:
        number = max(fewest, round(fraction * num_questions))
        if 2 * number <= num_questions and (not numbers or number >= 2 * numbers[-1]):
            numbers.append(number)
    return [*numbers, num_questions]

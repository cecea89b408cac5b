"""How many questions candidates answer before some of them answer more.

Q questions, K samples per question.
"""

import math

import numpy as np
import numpy.typing as npt

from relex.search.trials import NUM_ERRORS

QUESTION_FRACTIONS = (0.0625, 0.25)
"""Shares of the questions that all candidates and the better ones answer; finalists answer all."""

MIN_QUESTIONS = 20
"""Fewest questions that anything is judged by. Where samples are few they are as many as make a
loss of `COLLAPSE` clear, but no more than half of all."""

COLLAPSE = 0.1
"""Loss against the last observed step that, when it is clear, ends the way outwards at once."""


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

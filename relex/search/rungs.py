"""How many questions candidates answer before some of them answer more.

Q questions, K samples per question.
"""

import math

import numpy as np
import numpy.typing as npt

from relex.config import SearchConfig


def rungs(correct_QK: npt.NDArray[np.bool_], config: SearchConfig) -> list[int]:
    """Numbers of questions, ascending and each at least twice the one before; the last is all.

    The answers of the last observed step say how much a difference on one question varies, at most:
    as it does when the answers of two candidates have nothing in common.
    """
    num_questions, num_samples = correct_QK.shape
    accuracy = float(correct_QK.mean())
    variance = 2 * accuracy * (1 - accuracy) / num_samples
    clear = math.ceil(variance * (config.num_errors / config.collapse) ** 2)
    fewest = max(config.min_questions, min(clear, num_questions // 2))
    numbers: list[int] = []
    for fraction in config.question_fractions:
        number = max(fewest, round(fraction * num_questions))
        if 2 * number <= num_questions and (not numbers or number >= 2 * numbers[-1]):
            numbers.append(number)
    return [*numbers, num_questions]

"""Questions and grading for a small language model: sums of two numbers, answered in a sentence."""

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

from relex.config import ProblemSource

NUMBER = re.compile(r"\d+")


def sums(source: ProblemSource) -> Iterator[dict[str, str]]:
    """All sums of two numbers from 1 to `path`, in an order of their own, so that `skip` and
    `limit` cut disjoint sets of one kind."""
    numbers = range(1, int(source.path) + 1)
    pairs = [(first, second) for first in numbers for second in numbers]
    random.Random(0).shuffle(pairs)
    for first, second in pairs:
        yield {
            source.question_column: f"What is {first} + {second}?",
            source.answer_column: str(first + second),
        }


def last_number(completions: Sequence[str], answers: Sequence[str], **_: Any) -> list[float]:
    """1.0 where the last number of a completion is the answer. The model says it in a sentence, and
    hardly ever in the box that `math_equality` looks for."""
    return [
        float(NUMBER.findall(completion)[-1:] == [answer])
        for completion, answer in zip(completions, answers, strict=True)
    ]

"""The toy task: write the sum of two small numbers and nothing else.

There are 961 questions ``a+b=`` with ``0 <= a, b <= 30``. One seeded shuffle of all of them is cut
into train, validation and test, so the three are disjoint by construction.
"""

import random
from collections.abc import Iterator
from typing import Literal, cast

from relex.config import ProblemSource

Split = Literal["train", "validation", "test"]

LARGEST_OPERAND = 30
NUM_VALIDATION = 200
NUM_TEST = 200


def addition_pairs(split: Split, seed: int) -> list[tuple[int, int]]:
    """The operand pairs of one split, in the order of the seeded shuffle."""
    operands = range(LARGEST_OPERAND + 1)
    pairs = [(a, b) for a in operands for b in operands]
    random.Random(seed).shuffle(pairs)
    held_out = NUM_VALIDATION + NUM_TEST
    return {
        "validation": pairs[:NUM_VALIDATION],
        "test": pairs[NUM_VALIDATION:held_out],
        "train": pairs[held_out:],
    }[split]


def toy_rows(source: ProblemSource) -> Iterator[dict[str, str]]:
    """The questions of a split, shuffled by the source's seed, with their answers."""
    # The config has checked that the split is one of the toy's.
    for a, b in addition_pairs(cast(Split, source.split), source.shuffle_seed):
        yield {source.question_column: question(a, b), source.answer_column: str(a + b)}


def question(a: int, b: int) -> str:
    """The prompt, exactly as the policy reads it."""
    return f"{a}+{b}="

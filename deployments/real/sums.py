"""Questions for a small language model: sums of two numbers in words, with golds in digits."""

import random
from collections.abc import Iterator

from relex.config import ProblemSource

SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def sums_in_words(source: ProblemSource) -> Iterator[dict[str, str]]:
    """All sums of two numbers below `path`, at most 100, in an order of their own."""
    numbers = range(1, int(source.path))
    pairs = [(first, second) for first in numbers for second in numbers]
    random.Random(0).shuffle(pairs)  # so that `skip` and `limit` cut disjoint sets of one kind
    for first, second in pairs:
        yield {
            source.question_column: f"What is {in_words(first)} plus {in_words(second)}?",
            source.answer_column: str(first + second),
        }


def in_words(number: int) -> str:
    """`forty-two`, of a number from 0 to 99."""
    if number < len(SMALL):
        return SMALL[number]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f"-{SMALL[ones]}" if ones else "")

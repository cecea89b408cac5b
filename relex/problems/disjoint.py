"""No question may stand in two sets that must not know of each other."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from relex.errors import ProblemError
from relex.problems.problem import Problem

NUM_EXAMPLES = 3
EXAMPLE_CHARACTERS = 80


def check_disjoint(sets: Mapping[str, Sequence[Problem]]) -> None:
    """Compare every two sets by the content of their questions (`comparable_text`).

    Raises ProblemError with every two sets that overlap, how much, and up to 3 examples of each.
    """
    overlaps = [
        _overlap(first, second, shared)
        for first, second in combinations(sets, 2)
        if (shared := _shared(sets[first], sets[second]))
    ]
    if overlaps:
        raise ProblemError(
            f"problems: {'; '.join(overlaps)}; choose other splits, use skip and limit with the "
            "same shuffle_seed, or leave the questions of a named benchmark out with without"
        )


def _shared(first: Sequence[Problem], second: Sequence[Problem]) -> list[Problem]:
    digests = {problem.content_digest for problem in first}
    return [problem for problem in second if problem.content_digest in digests]


def _overlap(first: str, second: str, shared: Sequence[Problem]) -> str:
    examples = ", ".join(_shortened(problem.question) for problem in shared[:NUM_EXAMPLES])
    return f"{first} and {second} share {len(shared)} question(s), for example {examples}"


def _shortened(question: str) -> str:
    text = " ".join(question.split())
    cut = text if len(text) <= EXAMPLE_CHARACTERS else f"{text[:EXAMPLE_CHARACTERS]}..."
    return repr(cut)

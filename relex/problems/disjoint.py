"""No question may stand in two sets that must not know of each other."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from relex.errors import ProblemError
from relex.problems.problem import Problem

NUM_EXAMPLES = 3
EXAMPLE_CHARACTERS = 80


def check_disjoint(sets: Mapping[str, Sequence[Problem]]) -> None:
    """Compare every two sets by their questions, white space aside.

    Raises ProblemError with the names of the first two sets that overlap and up to 3 examples.
    """
    for first, second in combinations(sets, 2):
        ids = {problem.id for problem in sets[first]}
        shared = [problem.question for problem in sets[second] if problem.id in ids]
        if shared:
            raise ProblemError(
                f"problems: {first} and {second} share {len(shared)} question(s), for example "
                f"{', '.join(_shortened(question) for question in shared[:NUM_EXAMPLES])}; "
                "choose other splits, or use skip and limit with the same shuffle_seed"
            )


def _shortened(question: str) -> str:
    text = " ".join(question.split())
    cut = text if len(text) <= EXAMPLE_CHARACTERS else f"{text[:EXAMPLE_CHARACTERS]}..."
    return repr(cut)

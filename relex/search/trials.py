"""The book of a search: who answered which questions, and what it cost.

Q questions, K samples per question.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relex.candidates import Candidate
from relex.search.comparison import Comparison, compare
from relex.search.path import Trial


@dataclass(frozen=True)
class Graded:
    """Answers of a candidate to the first questions: `correct_QK` and the tokens of all answers."""

    correct_QK: npt.NDArray[np.bool_]
    num_tokens: int

    @property
    def tokens_per_question(self) -> float:
        return self.num_tokens / len(self.correct_QK)


Measure = Callable[[Candidate, int], Graded]
"""Graded answers of a candidate to the first `n` questions, in one order for all candidates and
with the same seeds."""


class Trials:
    """Every candidate with its answers so far."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._graded: dict[Candidate, Graded] = {}
        self._why: dict[Candidate, str] = {}
        self._end: dict[Candidate, str] = {}

    def measure(self, candidate: Candidate, num_questions: int, why: str = "") -> None:
        """Let the candidate answer the first questions; `why` is kept of the first time."""
        self._graded[candidate] = self._measure(candidate, num_questions)
        self._why.setdefault(candidate, why)
        self._end.pop(candidate, None)

    def end(self, candidate: Candidate, why: str) -> None:
        """Note why the candidate answers no more; the first reason stays."""
        self._end.setdefault(candidate, why)

    def __contains__(self, candidate: object) -> bool:
        return candidate in self._graded

    @property
    def graded(self) -> dict[Candidate, Graded]:
        """By candidate, in the order of the first measurement."""
        return dict(self._graded)

    @property
    def num_tokens(self) -> int:
        return sum(graded.num_tokens for graded in self._graded.values())

    def num_answered(self, candidate: Candidate) -> int:
        return len(self._graded[candidate].correct_QK) if candidate in self._graded else 0

    def accuracy(self, candidate: Candidate, num_questions: int) -> float:
        return float(self._graded[candidate].correct_QK[:num_questions].mean())

    def compare(self, one: Candidate, other: Candidate) -> Comparison:
        return compare(self._graded[one].correct_QK, self._graded[other].correct_QK)

    def records(self) -> tuple[Trial, ...]:
        return tuple(
            Trial(
                candidate=candidate,
                num_questions=len(graded.correct_QK),
                accuracy=float(graded.correct_QK.mean()),
                num_tokens=graded.num_tokens,
                why=self._why[candidate],
                end=self._end.get(candidate, ""),
            )
            for candidate, graded in self._graded.items()
        )

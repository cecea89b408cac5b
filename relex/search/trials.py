"""The book of a search: who answered which questions and what it cost, and how two compare.

A difference is the mean over the questions of the paired differences, with its standard error,
which questions that are hard or easy for both do not widen. Where the differences do not vary, as
when few questions were asked, the error would be zero; one more question that differs by a whole
answer is counted, so that few questions are never certain.

Q questions, K samples per question.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relex.candidates import Candidate
from relex.strict import Strict

NUM_ERRORS = 1.64
"""Standard errors that make a difference clear: 95 % on one side."""


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

Expect = Callable[[Sequence[tuple[Candidate, int]]], None]
"""Takes in what will probably be measured next, in place of what was expected before. It must not
change what is measured."""


class Trial(Strict):
    """One candidate that was tried, by the questions that it answered in the end."""

    candidate: Candidate
    """What was tried."""

    num_questions: int
    """The first questions of the common order, which it answered."""

    accuracy: float
    """Share of correct answers to them."""

    num_tokens: int
    """Tokens that these answers took."""

    why: str
    """What it was tried for."""

    end: str
    """Why it answered no more questions; empty where it answered all."""


class SearchPath(Strict):
    """The trials in their order, and what they cost."""

    trials: tuple[Trial, ...]
    """Every candidate once, in the order of its first measurement."""

    stopped: str
    """Why the search ended, in one sentence."""

    num_questions: int
    """All validation questions."""

    num_grid_targets: int
    """Targets of the full grid."""

    num_grid_tokens: int
    """What the full grid would have cost, with as many tokens per answer as the last observed
    step takes, and with the same base and observed steps."""

    @property
    def num_tokens(self) -> int:
        """Tokens that the search spent."""
        return sum(trial.num_tokens for trial in self.trials)

    @property
    def token_fraction(self) -> float:
        """Tokens spent over those of the full grid."""
        return self.num_tokens / max(self.num_grid_tokens, 1)


@dataclass(frozen=True)
class Found:
    """All candidates that were measured, with the answers to the first questions, and the path."""

    graded: dict[Candidate, Graded]
    path: SearchPath


@dataclass(frozen=True)
class Comparison:
    """A mean difference and its standard error, in shares of correct answers."""

    difference: float
    error: float

    def is_clearly_below(self, bound: float, num_errors: float = NUM_ERRORS) -> bool:
        """Whether the difference is below `bound` by more than `num_errors` standard errors."""
        return self.difference + num_errors * self.error < bound


def compare(one_QK: npt.NDArray[np.bool_], other_QK: npt.NDArray[np.bool_]) -> Comparison:
    """`one` minus `other`; rows are the same questions, of which one may have answered fewer."""
    num_both = min(len(one_QK), len(other_QK))
    difference_Q = one_QK[:num_both].mean(axis=1) - other_QK[:num_both].mean(axis=1)
    squares = float(((difference_Q - difference_Q.mean()) ** 2).sum()) + 1 / one_QK.shape[1]
    return Comparison(
        difference=float(difference_Q.mean()),
        error=math.sqrt(squares / num_both / num_both),
    )


class Trials:
    """Every candidate with its answers so far."""

    def __init__(self, measure: Measure, expect: Expect) -> None:
        self._measure, self._expect = measure, expect
        self._graded: dict[Candidate, Graded] = {}
        self._why: dict[Candidate, str] = {}
        self._end: dict[Candidate, str] = {}

    def expect(self, candidates: Sequence[Candidate], num_questions: int) -> None:
        """Say that these will probably be measured next, where they are not yet."""
        missing = [each for each in candidates if self.num_answered(each) < num_questions]
        self._expect([(candidate, num_questions) for candidate in missing])

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

    def ranked(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The most accurate on common questions first; of equals, the one of the earlier step."""
        fewest = min(map(self.num_answered, candidates), default=0)
        return sorted(candidates, key=lambda each: (-self.accuracy(each, fewest), each.step))

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

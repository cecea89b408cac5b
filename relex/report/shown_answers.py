"""A few questions with the answers of base, last step and chosen candidate, side by side."""

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from relex.candidates import Candidate
from relex.selection.decision import Decision
from relex.strict import Strict

NUM_SHOWN = 5
LONGEST_CHARACTERS = 600


class ShownAnswer(Strict):
    """What a candidate wrote."""

    text: str
    """Its first answer to the question, cut where it is long."""

    correct: bool
    """Whether it is right."""


class ShownQuestion(Strict):
    """One test question."""

    question: str
    """Its text, cut where it is long."""

    gold: str
    """The right answer."""

    answers: tuple[ShownAnswer, ...]
    """Of the base, the last step trained and what was chosen, each candidate once."""

    @property
    def change(self) -> str:
        """What the last of the answers does with the one before it."""
        *_, before, after = self.answers
        if before.correct == after.correct:
            return "still right" if after.correct else "still wrong"
        return "repaired" if after.correct else "broken"


ORDER = ("repaired", "broken", "still wrong", "still right")


def shown_questions(
    decision: Decision,
    problems: Sequence[tuple[str, str, str]],
    answers: Mapping[Candidate, Mapping[str, ShownAnswer]],
) -> tuple[ShownQuestion, ...]:
    """A few of `problems` (id, question, gold), repaired and broken ones first and in turn.

    `answers` are by candidate and question.
    """
    candidates = dict.fromkeys(decision.finalists.values())
    found = [
        ShownQuestion(
            question=_cut(question),
            gold=_cut(gold),
            answers=tuple(answers[candidate][key] for candidate in candidates),
        )
        for key, question, gold in problems
    ]
    by_change = {change: [each for each in found if each.change == change] for change in ORDER}
    repaired, broken, *others = by_change.values()
    in_turn = [each for pair in zip_longest(repaired, broken) for each in pair if each]
    return tuple([*in_turn, *chain(*others)][:NUM_SHOWN])


def shown_answer(text: str, correct: bool) -> ShownAnswer:
    return ShownAnswer(text=_cut(text), correct=correct)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_CHARACTERS else f"{text[:LONGEST_CHARACTERS]} ..."

"""Answers and scores of one candidate on one benchmark."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from relex.candidates import Candidate
from relex.errors import StageError
from relex.evaluation.dtype import Dtype
from relex.evaluation.jsonl import read_jsonl, write_jsonl
from relex.strict import Strict

ANSWERS_FILE = "answers.jsonl"
SCORE_FILE = "score.json"


class Answer(Strict):
    """One completion with its grade."""

    question_id: str
    """Identity of the question's text."""

    sample: int
    """0 to samples_per_question - 1."""

    seed: int
    """Seed that it was drawn with."""

    text: str
    """The completion."""

    finish_reason: Literal["stop", "length"]
    """`length` means cut at the token limit."""

    num_tokens: int
    """Generated tokens."""

    value: float
    """What the grader gave."""

    correct: bool
    """Whether the value counts as correct."""

    reason: str = ""
    """Why it is wrong, where the grader says so."""


class Score(Strict):
    """How well a candidate does on a benchmark."""

    candidate: Candidate
    """What was measured."""

    benchmark: str
    """Name of the questions."""

    grader: str
    """Name and version of what graded."""

    engine: str
    """Name and version of what generated."""

    dtype: Dtype
    """What it computed in."""

    num_questions: int
    """Questions asked."""

    samples_per_question: int
    """Answers drawn for each."""

    accuracy: float
    """Share of all answers that are correct."""

    truncated_fraction: float
    """Share of all answers that were cut at the token limit."""

    mean_completion_tokens: float
    """Tokens per answer."""

    generation_seconds: float
    """Wall time of the generation."""

    swap_seconds: float
    """Wall time of the change of weights; 0 when they were in place."""

    @property
    def num_tokens(self) -> int:
        """Tokens of all answers."""
        num_answers = self.num_questions * self.samples_per_question
        return round(self.mean_completion_tokens * num_answers)


def part_name(questions: range) -> str:
    """Folder of the answers to questions that follow each other: `questions-12-50`."""
    return f"questions-{questions.start}-{questions.stop}"


def join_scores(parts: Sequence[Score]) -> Score:
    """The score of all questions from the scores of parts of them."""
    num_questions = sum(part.num_questions for part in parts)

    def mean(values: Iterable[float]) -> float:
        pairs = zip(values, parts, strict=True)
        return sum(value * part.num_questions for value, part in pairs) / num_questions

    return parts[-1].model_copy(
        update={
            "num_questions": num_questions,
            "accuracy": mean(part.accuracy for part in parts),
            "truncated_fraction": mean(part.truncated_fraction for part in parts),
            "mean_completion_tokens": mean(part.mean_completion_tokens for part in parts),
            "generation_seconds": sum(part.generation_seconds for part in parts),
            "swap_seconds": sum(part.swap_seconds for part in parts),
        }
    )


def write_answers(path: Path, answers: Sequence[Answer]) -> None:
    """One JSON object per line; the file appears whole."""
    write_jsonl(path, answers)


def read_answers(path: Path) -> list[Answer]:
    """Raises StageError when the file is missing or damaged."""
    return read_jsonl(path, Answer)


def correct_matrix(answers: Iterable[Answer]) -> NDArray[np.bool_]:
    """Correctness QxK: questions in the order of their ids, samples in order.

    The order does not depend on the order of `answers`, so the rows of two candidates that answered
    the same questions are pairs. Raises StageError unless every question has samples 0 to K - 1.
    """
    correct: dict[str, dict[int, bool]] = {}
    for answer in answers:
        correct.setdefault(answer.question_id, {})[answer.sample] = answer.correct
    samples = range(max((len(row) for row in correct.values()), default=0))
    for question_id, row in correct.items():
        if sorted(row) != list(samples):
            raise StageError(
                f"question {question_id}: has samples {sorted(row)}, others have {len(samples)}; "
                "the answers are incomplete, so measure the candidate again"
            )
    rows = [[correct[question_id][k] for k in samples] for question_id in sorted(correct)]
    return np.array(rows, dtype=bool)

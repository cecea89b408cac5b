"""Scores where a run or `relex evaluate` keeps them: `BENCHMARK/CANDIDATE/`, or parts below it.

A score is written after its answers, so where it stands they are whole. What was measured is in the
score; names of folders only tell people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import ValidationError

from relex.candidates import Candidate
from relex.errors import StageError
from relex.evaluation.jsonl import parse_jsonl
from relex.evaluation.results import ANSWERS_FILE, SCORE_FILE, Answer, Score
from relex.storage import Store


@dataclass(frozen=True)
class StoredScores:
    """What is kept of a candidate on one benchmark."""

    candidate: Candidate
    scores: Sequence[Score]
    """One, or one for each part of the questions."""

    answers: Sequence[Answer]
    """To all questions that it was asked, each sample once."""


def read_stored_scores(store: Store, benchmark: str) -> list[StoredScores]:
    """Every candidate that was measured on the benchmark, in the order of tables.

    Raises StageError when a score or answers are damaged, StorageError when the store refuses.
    """
    scores: dict[Candidate, list[Score]] = {}
    answers: dict[Candidate, dict[tuple[str, int], Answer]] = {}
    for key in store.list(f"{benchmark}/"):
        if PurePosixPath(key).name != SCORE_FILE:
            continue
        score = _read_score(store, key)
        scores.setdefault(score.candidate, []).append(score)
        known = answers.setdefault(score.candidate, {})
        known |= {
            (answer.question_id, answer.sample): answer for answer in _read_answers(store, key)
        }
    return [
        StoredScores(candidate, scores[candidate], list(answers[candidate].values()))
        for candidate in sorted(scores, key=lambda candidate: candidate.order)
    ]


def _read_score(store: Store, key: str) -> Score:
    try:
        return Score.model_validate_json(store.get(key))
    except ValidationError as error:
        found = " ".join(str(error).split())
        raise StageError(
            f"{store.uri}/{key}: damaged: {found}; measure the candidate again"
        ) from error


def _read_answers(store: Store, score_key: str) -> list[Answer]:
    key = str(PurePosixPath(score_key).with_name(ANSWERS_FILE))
    return parse_jsonl(store.get(key), f"{store.uri}/{key}", Answer)

"""Rows of a file or a dataset, and the problems in them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relex.boxed import box_of_solution
from relex.config import ProblemSource
from relex.config.strict import UNWRITABLE
from relex.errors import ProblemError
from relex.problems.problem import Extra, Problem, comparable_text

HASHES = "####"
MOST_GROUPS = 500


@dataclass(frozen=True)
class Row:
    """The columns of one row, where it stands (`problems.jsonl:12`), and what a source of ours
    gives its grader beside the columns that the recipe names."""

    where: str
    columns: Mapping[str, Any]
    extra: Extra = field(default_factory=dict)


def problems_in(rows: Iterable[Row], source: ProblemSource) -> list[Problem]:
    """One problem per row; of rows with the same question and answer only the first is kept, where
    answers that differ in their looks only (`comparable_text`) are the same.

    Raises ProblemError for a missing column, a value that is no text or number (no JSON, in an
    extra column), an empty question or answer, a question that is there twice with different
    answers, and a column of so many groups that it names none.
    """
    kept: dict[str, tuple[Row, Problem]] = {}
    for row in rows:
        problem = Problem(
            question=_text(row, source.question_column, "question_column"),
            answer=_answer(row, source),
            group=_text(row, source.group_column, "group_column") if source.group_column else "",
            extra=_extra(row, source.extra_columns),
        )
        first_row, first = kept.setdefault(problem.id, (row, problem))
        if comparable_text(first.answer) != comparable_text(problem.answer):
            raise ProblemError(
                f"{row.where}: the same question as in {first_row.where} has another answer "
                f"({problem.answer!r}, there {first.answer!r}); remove one of them"
            )
    problems = [problem for _, problem in kept.values()]
    _check_groups(problems, source)
    return problems


def _check_groups(problems: Sequence[Problem], source: ProblemSource) -> None:
    """Every group is a row of the report and a number of every candidate."""
    num = len({problem.group for problem in problems})
    if num > MOST_GROUPS:
        raise ProblemError(
            f"{source.path}: column {source.group_column!r} has {num:,} different values, and "
            f"accuracy is told for {MOST_GROUPS} groups at most; set group_column to a difficulty "
            "or a subject"
        )


def _answer(row: Row, source: ProblemSource) -> str:
    """The part of the answer column that is the answer; raises ProblemError when it is missing."""
    text = _text(row, source.answer_column, "answer_column")
    if source.answer_part == "all":
        return text
    if source.answer_part == "boxed":
        part, sign = box_of_solution(text), r"\boxed{}"
    else:
        part, sign = text.rpartition(HASHES)[2].strip() if HASHES in text else None, HASHES
    if not part:
        raise ProblemError(
            f"{row.where}: column {source.answer_column!r} has no answer in {sign}; "
            "set answer_part to what the column holds, or leave the row out"
        )
    return part


def _extra(row: Row, columns: Iterable[str]) -> Extra:
    """The named columns as JSON, which a reward in a process of its own is given too."""
    extra = dict(row.extra)
    for column in columns:
        value = _value(row, column, "extra_columns")
        try:
            extra[column] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ProblemError(
                f"{row.where}: column {column!r} cannot be written as JSON ({error}); "
                "give it as text, numbers, lists and mappings"
            ) from error
    return extra


def _value(row: Row, column: str, setting: str) -> Any:
    if column not in row.columns:
        existing = ", ".join(row.columns) or "none"
        raise ProblemError(
            f"{row.where}: has no column {column!r} (columns: {existing}); "
            f"set {setting} to one of them"
        )
    return row.columns[column]


def _text(row: Row, column: str, setting: str) -> str:
    value = _value(row, column, setting)
    if isinstance(value, list) and len(value) == 1:
        # OlympiadBench wraps its one answer in a list.
        value = value[0]
    if isinstance(value, float) and not math.isfinite(value):
        raise ProblemError(
            f"{row.where}: column {column!r} holds {value}, not text or a number (a gap in a table "
            "of numbers reads so); fill it in or leave the row out"
        )
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ProblemError(
            f"{row.where}: column {column!r} holds {type(value).__name__}, not text or a number"
        )
    text = str(value)
    if not text.strip():
        raise ProblemError(f"{row.where}: column {column!r} is empty; remove the row or fill it in")
    if not_text := UNWRITABLE.search(text):
        raise ProblemError(
            f"{row.where}: column {column!r} holds {not_text[0]!a}, which no file and no database "
            "can hold as text; correct the row"
        )
    return text

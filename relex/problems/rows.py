"""Rows of a file or a dataset, and the problems in them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relex.boxed import box_of_solution
from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems.columns import Row, extra_of, text_of
from relex.problems.problem import Problem, comparable_text
from relex.visible import one_line

HASHES = "####"
MOST_GROUPS = 500
MOST_CONFLICTS = 100
SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class Found:
    """The problems of a source, in the order of their first rows."""

    problems: list[Problem]
    num_rows: int
    num_dropped: int
    """Questions left out because their rows disagree."""

    @property
    def note(self) -> str:
        """What became of the rows that gave no problem, or nothing where all of them did."""
        num_repeated = self.num_rows - len(self.problems)
        dropped = f" and {self.num_dropped:,} with several answers are left out"
        return (
            f"{len(self.problems):,} questions in {self.num_rows:,} rows; the others repeat one"
            f"{dropped if self.num_dropped else ''}"
            if num_repeated
            else ""
        )


def problems_in(rows: Iterable[Row], source: ProblemSource) -> Found:
    """One problem per question: of rows with the same question and answer only the first is kept,
    where answers that differ in their looks only (`comparable_text`) are the same.

    Raises ProblemError for a missing column, a value that is no text or number (no JSON, in an
    extra column), an empty question or answer, questions that have different answers in different
    rows, and a column of so many groups that it names none.
    """
    num_rows = 0
    read: set[tuple[str, str]] = set()
    kept: dict[str, Problem] = {}
    golds: dict[str, dict[str, tuple[int, str]]] = {}
    for row in rows:
        num_rows += 1
        texts = text_of(row, source.question_column, "question_column"), _answer(row, source)
        if texts in read:
            continue
        read.add(texts)
        group = source.group_column and text_of(row, source.group_column, "group_column")
        problem = Problem(*texts, group, extra_of(row, source.extra_columns))
        kept.setdefault(problem.id, problem)
        answers = golds.setdefault(problem.id, {})
        answers.setdefault(comparable_text(problem.answer), (row.number, problem.answer))
    conflicts = {key: list(found.values()) for key, found in golds.items() if len(found) > 1}
    if conflicts and not source.drop_conflicts:
        raise _conflict(source, [(kept[key], found) for key, found in conflicts.items()])
    problems = [problem for key, problem in kept.items() if key not in conflicts]
    _check_groups(problems, source)
    return Found(problems, num_rows, len(conflicts))


def _conflict(
    source: ProblemSource, conflicts: Sequence[tuple[Problem, Sequence[tuple[int, str]]]]
) -> ProblemError:
    """All questions with several answers, each with the first row of each answer."""
    listed = [
        f"{one_line(problem.question, SHOWN_CHARACTERS)!r} in rows "
        + ", ".join(f"{number} ({one_line(gold, SHOWN_CHARACTERS)!r})" for number, gold in found)
        for problem, found in conflicts[:MOST_CONFLICTS]
    ]
    more = len(conflicts) - len(listed)
    return ProblemError(
        f"{source.label}: {len(conflicts)} question(s) have different answers: "
        f"{'; '.join(listed)}{f'; and {more} more' if more else ''}; correct these rows, or leave "
        "the questions out with drop_conflicts: true"
    )


def _check_groups(problems: Sequence[Problem], source: ProblemSource) -> None:
    """Every group is a row of the report and a number of every candidate."""
    num = len({problem.group for problem in problems})
    if num > MOST_GROUPS:
        raise ProblemError(
            f"{source.label}: column {source.group_column!r} has {num:,} different values, and "
            f"accuracy is told for {MOST_GROUPS} groups at most; set group_column to a difficulty "
            "or a subject"
        )


def _answer(row: Row, source: ProblemSource) -> str:
    """The part of the answer column that is the answer; raises ProblemError when it is missing."""
    text = text_of(row, source.answer_column, "answer_column", "assistant")
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

"""Questions that stand in many rows: kept once and said, and refused together where they differ."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems import Problem, load_problems

Rows = list[tuple[str, str]]
CONFLICTING: Rows = [
    ("1+1", "2"),
    ("q", "5"),
    (" 1+1\n", "2"),
    ("1+1", "3"),
    ("1+1", "3"),
    ("r", "7"),
    ("s", r"\dfrac12"),
    ("r", "8"),
    ("s", r"$\frac12$"),
    ("1+1", "4"),
]


def written(path: Path, rows: Rows, **fields: Any) -> ProblemSource:
    questions, answers = zip(*rows, strict=True)
    table = pyarrow.table({"question": list(questions), "answer": list(answers)})
    parquet.write_table(table, path, row_group_size=3)
    return ProblemSource(kind="parquet", path=str(path), **fields)


def test_heavy_duplication_is_removed_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    rows = [(f"question {n}", str(n)) for n in range(40)] * 100
    problems = load_problems(written(tmp_path / "p.parquet", rows), said.append)
    assert sorted(problem.answer for problem in problems) == sorted(str(n) for n in range(40))
    path = tmp_path / "p.parquet"
    assert said == [f"{path}: 40 questions in 4,000 rows; the others repeat one"]


def test_rows_that_are_all_different_are_not_spoken_of(tmp_path: Path) -> None:
    said: list[str] = []
    load_problems(written(tmp_path / "p.parquet", [("a", "1"), ("b", "1")]), said.append)
    assert said == []


def test_a_repeated_set_is_the_set(tmp_path: Path) -> None:
    rows = [(f"question {n}", str(n)) for n in range(40)]
    once, often = written(tmp_path / "1.parquet", rows), written(tmp_path / "9.parquet", rows * 9)
    assert load_problems(once) == load_problems(often)


def test_all_conflicts_are_listed_at_once_with_their_rows(tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as caught:
        load_problems(written(tmp_path / "p.parquet", CONFLICTING))
    assert str(caught.value) == (
        f"{tmp_path / 'p.parquet'}: 2 question(s) have different answers: "
        "'1+1' in rows 0 ('2'), 3 ('3'), 9 ('4'); 'r' in rows 5 ('7'), 7 ('8'); "
        "correct these rows, or leave the questions out with drop_conflicts: true"
    )


def test_lines_of_jsonl_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows = [{"question": question, "answer": answer} for question, answer in CONFLICTING[:4]]
    lines = [json.dumps(row) + "\n" for row in rows]
    path.write_text("\n".join(lines))
    with pytest.raises(ProblemError, match=r"in rows 1 \('2'\), 7 \('3'\);"):
        load_problems(ProblemSource(kind="jsonl", path=str(path)))


def test_conflicting_questions_can_be_left_out_which_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    source = written(tmp_path / "p.parquet", CONFLICTING, drop_conflicts=True)
    assert set(load_problems(source, said.append)) == {Problem("q", "5"), Problem("s", r"\dfrac12")}
    assert said == [
        f"{tmp_path / 'p.parquet'}: 2 questions in 10 rows; the others repeat one and 2 with "
        "several answers are left out"
    ]


def test_a_list_of_conflicts_ends(tmp_path: Path) -> None:
    rows = [(f"question {n}", answer) for n in range(150) for answer in ("1", "2")]
    with pytest.raises(ProblemError, match=r": 150 question.*; and 50 more; correct") as caught:
        load_problems(written(tmp_path / "p.parquet", rows))
    assert "\n" not in str(caught.value)

"""What a grader needs beside the answer: read with the row, part of the set's identity."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems import Problem, load_problems, problems_digest

ROW = {"question": "q", "answer": "1", "tests": [{"in": "é", "out": 2.5}], "level": None}


def written(path: Path, *rows: dict[str, Any], **fields: Any) -> ProblemSource:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ProblemSource(kind="jsonl", path=str(path), **fields)


def test_named_columns_travel_with_the_problem(tmp_path: Path) -> None:
    source = written(tmp_path / "p.jsonl", ROW, extra_columns=("tests", "level"))
    [problem] = load_problems(source)
    assert problem.extra == {"tests": ROW["tests"], "level": None}


def test_no_column_travels_unnamed(tmp_path: Path) -> None:
    assert load_problems(written(tmp_path / "p.jsonl", ROW)) == [Problem("q", "1")]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"no column 'test' .*; set extra_columns to one of"):
        load_problems(written(tmp_path / "p.jsonl", ROW, extra_columns=("test",)))


@pytest.mark.parametrize("value", [b"\x00", date(2026, 1, 1), float("nan")])
def test_what_is_no_json_is_refused_with_its_row(tmp_path: Path, value: object) -> None:
    path = tmp_path / "p.parquet"
    parquet.write_table(pyarrow.table({"question": ["q"], "answer": ["1"], "x": [value]}), path)
    source = ProblemSource(kind="parquet", path=str(path), extra_columns=("x",))
    with pytest.raises(ProblemError, match=r"row 0: column 'x' cannot be written as JSON .*; give"):
        load_problems(source)


def test_problems_that_differ_in_it_are_other_problems() -> None:
    plain, tested, other = (Problem("q", "1", extra=extra) for extra in ({}, {"a": 1}, {"a": 2}))
    assert len({problems_digest([problem]) for problem in (plain, tested, other)}) == 3
    assert tested != other


def test_a_toy_has_no_columns_that_could_travel() -> None:
    with pytest.raises(ValueError, match="extra_columns: a toy source has no columns; remove it"):
        ProblemSource(kind="toy", extra_columns=("tests",))

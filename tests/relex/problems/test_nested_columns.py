"""Rows as other trainers write them: messages, and what is asked for deep inside a column."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems import Problem, load_problems

USER = {"role": "user", "content": "What is 2+2?"}
SYSTEM = {"role": "system", "content": "Be brief."}
SOLVED = {"role": "assistant", "content": r"So \boxed{3}, no, \boxed{4}."}
VERL = {
    "data_source": "math_dapo",
    "prompt": [USER],
    "ability": "MATH",
    "reward_model": {"ground_truth": "4", "style": "rule-lighteval/MATH_v2"},
    "extra_info": {"index": "9a9b6eb4"},
}


def jsonl(path: Path, row: dict[str, Any], **fields: Any) -> ProblemSource:
    path.write_text(json.dumps(row))
    return ProblemSource(kind="jsonl", path=str(path), **fields)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_row_of_verl_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "dapo"
    if kind == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist([VERL] * 3), path)
    else:
        path.write_text(json.dumps(VERL))
    source = ProblemSource(
        kind=kind,
        path=str(path),
        question_column="prompt",
        answer_column="reward_model.ground_truth",
        group_column="data_source",
        extra_columns=("extra_info.index",),
    )
    expected = Problem("What is 2+2?", "4", "math_dapo", {"extra_info.index": "9a9b6eb4"})
    assert load_problems(source) == [expected]


def test_messages_hold_question_and_solution(tmp_path: Path) -> None:
    columns = {"question_column": "messages", "answer_column": "messages", "answer_part": "boxed"}
    source = jsonl(tmp_path / "p.jsonl", {"messages": [USER, SOLVED]}, **columns)
    assert load_problems(source) == [Problem("What is 2+2?", "4")]


@pytest.mark.parametrize("column", ["prompt.1.content", "prompt.-1.content"])
def test_places_of_a_list_are_counted_from_both_ends(tmp_path: Path, column: str) -> None:
    row = {"prompt": [SYSTEM, USER], "answer": 4}
    source = jsonl(tmp_path / "p.jsonl", row, question_column=column)
    assert load_problems(source) == [Problem("What is 2+2?", "4")]


def test_a_column_with_dots_in_its_name_is_that_column(tmp_path: Path) -> None:
    row = {"question": "q", "a.b": "this", "a": {"b": "not this"}}
    source = jsonl(tmp_path / "p.jsonl", row, answer_column="a.b")
    assert load_problems(source) == [Problem("q", "this")]


@pytest.mark.parametrize(
    ("value", "column", "message"),
    [
        (
            [SYSTEM, USER],
            "prompt",
            "column 'prompt' begins with a system message ('Be brief.'); state it in "
            "problems.prompt.system, and set question_column: prompt.1.content",
        ),
        ([USER, SOLVED, USER], "prompt", "holds messages of user, assistant, user, not one of us"),
        ([SOLVED], "prompt", "holds messages of assistant, not one of user; name the one"),
        ([{"from": "human"}], "prompt", "holds messages of None, not one of user"),
        ([{"role": "user"}], "prompt", "column 'prompt' holds NoneType, not text"),
        ([{**USER, "content": [{"type": "image"}]}], "prompt", "holds dict, not text or a number"),
        (
            {"text": "q"},
            "prompt",
            "holds dict, not text or a number; set question_column: prompt.t",
        ),
        (["q", "r"], "prompt", "holds list, not text or a number; set question_column: prompt.0"),
        ([USER], "prompt.1.content", "has no column 'prompt.1.content' (prompt: 0, -1); set quest"),
        ([USER], "prompt.0.text", "has no column 'prompt.0.text' (prompt.0: role, content); set"),
        ("q", "prompt.text", "has no column 'prompt.text' (prompt: none); set question_column"),
    ],
)
def test_what_cannot_be_the_question_is_told_with_the_way_out(
    tmp_path: Path, value: Any, column: str, message: str
) -> None:
    row = {"prompt": value, "answer": "4"}
    with pytest.raises(ProblemError) as caught:
        load_problems(jsonl(tmp_path / "p.jsonl", row, question_column=column))
    assert message in str(caught.value)


def test_only_named_columns_of_a_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    row = {"question": "q", "answer": "1", "image": b"\x00"}
    parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    source = ProblemSource(kind="parquet", path=str(path), answer_column="gold")
    with pytest.raises(ProblemError, match=r"\(columns: question, answer, image\)"):
        load_problems(source)

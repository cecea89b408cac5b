"""Problems in Parquet files, and answers that are a part of their column."""

from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems import Problem, load_problems

Rows = list[dict[str, str | None]]


def written(path: Path, rows: Rows, **fields: str) -> ProblemSource:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return ProblemSource.model_validate({"kind": "parquet", "path": str(path), **fields})


def test_all_rows_of_a_parquet_file_are_read(tmp_path: Path) -> None:
    rows: Rows = [{"question": f"q{number}", "answer": str(number)} for number in range(20)]
    problems = load_problems(written(tmp_path / "p.parquet", rows))
    assert set(problems) == {Problem(f"q{number}", str(number)) for number in range(20)}


def test_a_fault_in_a_parquet_file_is_named_with_its_row(tmp_path: Path) -> None:
    rows: Rows = [{"question": "a", "answer": "1"}, {"question": "b", "answer": None}]
    with pytest.raises(ProblemError, match=r"p\.parquet, row 1: column 'answer' holds NoneType"):
        load_problems(written(tmp_path / "p.parquet", rows))


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but no parquet PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ProblemError, match=r"p\.parquet: cannot be read .*; give a Parquet file"):
        load_problems(ProblemSource(kind="parquet", path=str(path)))


@pytest.mark.parametrize(
    ("part", "column", "answer"),
    [
        ("boxed", r"so \boxed{3}, no: $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("boxed", r"so $\fbox{7}$", "7"),
        ("boxed", r"that is $\boxed 7$ or so", "7"),
        ("boxed", r"that is $\boxed \frac12$.", r"\frac12"),
        ("after_hashes", "2+2 = <<2+2=4>>4\n#### 4", "4"),
        ("all", r"\boxed{7}", r"\boxed{7}"),
    ],
)
def test_the_answer_is_a_part_of_its_column(
    tmp_path: Path, part: str, column: str, answer: str
) -> None:
    rows: Rows = [{"question": "q", "answer": column}]
    source = written(tmp_path / "p.parquet", rows, answer_part=part)
    assert load_problems(source) == [Problem("q", answer)]


@pytest.mark.parametrize(
    ("part", "column"), [("boxed", "7"), ("boxed", r"\boxed{}"), ("after_hashes", "7 ####")]
)
def test_a_column_without_that_part_is_refused(tmp_path: Path, part: str, column: str) -> None:
    rows: Rows = [{"question": "q", "answer": column}]
    source = written(tmp_path / "p.parquet", rows, answer_part=part)
    with pytest.raises(
        ProblemError, match=r"p\.parquet, row 0: column 'answer' has no answer in .*set "
    ):
        load_problems(source)


def test_a_column_of_numbers_with_a_gap_is_refused_by_its_row(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    columns = {"question": ["a", "b", "c"], "answer": [1.0, 2.5, float("nan")]}
    parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(ProblemError, match=r"row 2: column 'answer' holds nan, not text or a numb"):
        load_problems(ProblemSource(kind="parquet", path=str(path)))


@pytest.mark.parametrize("column", ["question", "answer", "subject"])
@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("NaN", "holds nan, not text or a number"),
        ("Infinity", "holds inf, not text or a number"),
        ("-Infinity", "holds -inf, not text"),
        ("1e999", "holds inf, not text"),
        ("[NaN]", "holds nan, not text"),
        ("null", "holds NoneType, not text"),
        ("true", "holds bool, not text"),
        ("{}", "holds dict, not text"),
        ("[1, 2]", "holds list, not text"),
        (r'"\ud800"', r"holds '\\ud800', which no file and no database can hold as text"),
        (r'"a\u0000"', r"holds '\\x00', which no file"),
    ],
)
def test_what_is_no_text_is_refused_by_its_line(
    tmp_path: Path, column: str, value: str, found: str
) -> None:
    path = tmp_path / "p.jsonl"
    fields = {"question": '"q"', "answer": '"a"', "subject": '"s"', column: value}
    line = ", ".join(f'"{name}": {text}' for name, text in fields.items())
    path.write_text(f'{{"question": "first", "answer": "1", "subject": "s"}}\n{{{line}}}\n')
    with pytest.raises(ProblemError, match=rf"p\.jsonl:2: column '{column}' {found}"):
        load_problems(ProblemSource(kind="jsonl", path=str(path), group_column="subject"))


def test_a_column_of_countless_groups_is_refused(tmp_path: Path) -> None:
    rows: Rows = [{"question": f"q{n}", "answer": "1", "id": str(n)} for n in range(600)]
    source = written(tmp_path / "p.parquet", rows, group_column="id")
    with pytest.raises(ProblemError, match=r"column 'id' has 600 different values, .* 500 groups"):
        load_problems(source)

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

"""Where questions come from: JSONL files, Parquet files, datasets of the Hugging Face Hub."""

import json
from collections.abc import Iterator
from pathlib import Path

from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems.columns import Row, needed_columns

BATCH_ROWS = 1000


def jsonl_rows(source: ProblemSource) -> Iterator[Row]:
    """The rows of a file; raises ProblemError naming the file and the line."""
    path = Path(source.path)
    try:
        # A byte order mark at the front is not part of the first line, and JSON text may hold line
        # separators other than the line feed, such as U+2028, unescaped.
        with path.open(encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _row(number, f"{path}:{number}", line)
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(f"{path}: cannot be read ({error}); give a JSONL file") from error


def _row(number: int, where: str, line: str) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProblemError(f"{where}: not a line of JSON ({error})") from error
    if not isinstance(value, dict):
        raise ProblemError(
            f"{where}: holds {type(value).__name__}, not an object with a question and an answer"
        )
    return Row(number, where, value)


def parquet_rows(source: ProblemSource, *, all_columns: bool = False) -> Iterator[Row]:
    """The rows of a file in its order, with the columns that the source names; raises ProblemError
    when it is missing or no Parquet."""
    path = Path(source.path)
    # Imported here because it takes half a second that no other source needs.
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            named = None if all_columns else needed_columns(source.columns, file.schema_arrow.names)
            batches = file.iter_batches(BATCH_ROWS, columns=named)
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, values in enumerate(rows):
                yield Row(number, f"{path}, row {number}", values)
    except (OSError, pyarrow.ArrowException) as error:
        raise ProblemError(f"{path}: cannot be read ({error}); give a Parquet file") from error


def hub_rows(source: ProblemSource, *, all_columns: bool = False) -> Iterator[Row]:
    """The rows of one split, with the columns that the source names; raises ProblemError where the
    Hub or the dataset refuses."""
    where = _split_of(source)
    # Imported here because it takes a second that no other source needs.
    import datasets

    try:
        dataset = datasets.load_dataset(
            source.path, source.config or None, split=source.split, revision=source.revision
        )
    except Exception as error:
        raise not_loaded(source, error) from error
    named = None if all_columns else needed_columns(source.columns, dataset.column_names)
    # As Arrow has them: pictures that a column may hold are not decoded.
    tables = dataset.select_columns(named or dataset.column_names).with_format("arrow")
    rows = (row for table in tables.iter(BATCH_ROWS) for row in table.to_pylist())
    for number, values in enumerate(rows):
        yield Row(number, f"{where}, row {number}", values)


def not_loaded(source: ProblemSource, error: Exception) -> ProblemError:
    """What to say where the Hub, or a dataset on it, refuses."""
    reason = " ".join(str(error).split())
    return ProblemError(
        f"{_split_of(source)}: cannot be loaded ({type(error).__name__}: {reason}); "
        "check path, config, split and revision, and that the Hub is reachable"
    )


def _split_of(source: ProblemSource) -> str:
    return f"{source.path} (split {source.split})"

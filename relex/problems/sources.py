"""Where questions come from: JSONL files, Parquet files, datasets of the Hugging Face Hub."""

import json
from collections.abc import Iterator
from pathlib import Path

from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems.rows import Row


def jsonl_rows(source: ProblemSource) -> Iterator[Row]:
    """The rows of a file; raises ProblemError naming the file and the line."""
    path = Path(source.path)
    try:
        # A byte order mark at the front is not part of the first line.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(f"{path}: cannot be read ({error}); give a JSONL file") from error
    # Not splitlines(): JSON text may hold other line separators, such as U+2028, unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _row(f"{path}:{number}", line)


def _row(where: str, line: str) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProblemError(f"{where}: not a line of JSON ({error})") from error
    if not isinstance(value, dict):
        raise ProblemError(
            f"{where}: holds {type(value).__name__}, not an object with a question and an answer"
        )
    return Row(where, value)


def parquet_rows(source: ProblemSource) -> Iterator[Row]:
    """The rows of a file in its order; raises ProblemError when it is missing or no Parquet."""
    path = Path(source.path)
    # Imported here because it takes half a second that no other source needs.
    import pyarrow
    from pyarrow import parquet

    try:
        batches = parquet.ParquetFile(path).iter_batches()
        rows = [row for batch in batches for row in batch.to_pylist()]
    except (OSError, pyarrow.ArrowException) as error:
        raise ProblemError(f"{path}: cannot be read ({error}); give a Parquet file") from error
    for index, columns in enumerate(rows):
        yield Row(f"{path}, row {index}", columns)


def hub_rows(source: ProblemSource) -> Iterator[Row]:
    """The rows of one split; raises ProblemError where the Hub or the dataset refuses."""
    where = f"{source.path} (split {source.split})"
    # Imported here because it takes a second that no other source needs.
    import datasets

    try:
        dataset = datasets.load_dataset(
            source.path, source.config or None, split=source.split, revision=source.revision
        )
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ProblemError(
            f"{where}: cannot be loaded ({type(error).__name__}: {reason}); "
            "check path, config, split and revision, and that the Hub is reachable"
        ) from error
    for index, columns in enumerate(dataset):
        yield Row(f"{where}, row {index}", columns)

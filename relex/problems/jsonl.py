"""Problems in a JSONL file: one JSON object per line, UTF-8, blank lines allowed."""

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

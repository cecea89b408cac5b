"""Strict models in a file, one JSON object per line."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from relex.errors import StageError
from relex.storage.atomic import write_atomic
from relex.strict import Strict

Row = TypeVar("Row", bound=Strict)


def write_jsonl(path: Path, rows: Iterable[Strict]) -> None:
    """The file appears whole or not at all."""
    write_atomic(path, "".join(row.model_dump_json() + "\n" for row in rows).encode())


def read_jsonl(path: Path, row_type: type[Row]) -> list[Row]:
    """Raises StageError naming the file and the line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StageError(
            f"{path}: cannot be read ({error}); measure the candidate again"
        ) from error
    return parse_jsonl(data, str(path), row_type)


def parse_jsonl(data: bytes, where: str, row_type: type[Row]) -> list[Row]:
    """The rows in the bytes of a file that is called `where`; raises StageError as `read_jsonl`."""
    rows: list[Row] = []
    try:
        for line in data.splitlines():
            rows.append(row_type.model_validate_json(line))
    except ValidationError as error:
        raise StageError(
            f"{where}, line {len(rows) + 1}: damaged: {' '.join(str(error).split())}"
        ) from error
    return rows

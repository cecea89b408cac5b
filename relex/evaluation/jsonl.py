"""Strict models in a file, one JSON object per line."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from relex.atomic import write_atomic
from relex.config.strict import Strict
from relex.errors import StageError

Row = TypeVar("Row", bound=Strict)


def write_jsonl(path: Path, rows: Iterable[Strict]) -> None:
    """The file appears whole or not at all."""
    write_atomic(path, "".join(row.model_dump_json() + "\n" for row in rows).encode())


def read_jsonl(path: Path, row_type: type[Row]) -> list[Row]:
    """Raises StageError naming the file and the line."""
    rows: list[Row] = []
    try:
        for line in path.read_bytes().splitlines():
            rows.append(row_type.model_validate_json(line))
    except OSError as error:
        raise StageError(
            f"{path}: cannot be read ({error}); measure the candidate again"
        ) from error
    except ValidationError as error:
        raise StageError(
            f"{path}, line {len(rows) + 1}: damaged: {' '.join(str(error).split())}"
        ) from error
    return rows

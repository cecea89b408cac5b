"""What the columns of a row hold: text, numbers, messages, by name or by dots that lead inside."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from relex.config.strict import UNWRITABLE
from relex.errors import ProblemError
from relex.problems.problem import Extra
from relex.visible import one_line

Role = Literal["user", "assistant"]
SHOWN_CHARACTERS, LISTED_CHARACTERS = 60, 300


@dataclass(frozen=True)
class Row:
    """The columns of one row, its number in the source, where it stands (`problems.jsonl:12`), and
    what a source of ours gives its grader beside the columns that the recipe names."""

    number: int
    where: str
    columns: Mapping[str, Any]
    extra: Extra = field(default_factory=dict)


def needed_columns(columns: Iterable[str], existing: Sequence[str]) -> list[str] | None:
    """Those of the existing columns that must be read for the named ones; None where one of these
    is missing, which the reading of a row then tells."""
    tops = [name if name in existing else name.partition(".")[0] for name in columns]
    return list(dict.fromkeys(tops)) if set(tops) <= set(existing) else None


def text_of(row: Row, column: str, setting: str, role: Role = "user") -> str:
    """Text or a number as text; of messages that of the one that is `role`'s.

    Raises ProblemError for anything else; `setting` is the recipe's field that names the column.
    """
    value = value_of(row, column, setting)
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        value = _said_by(role, value, row, column, setting)
    if isinstance(value, list) and len(value) == 1:
        # OlympiadBench wraps its one answer in a list.
        value = value[0]
    if isinstance(value, float) and not math.isfinite(value):
        raise _error(
            row,
            column,
            f"holds {value}, not text or a number (a gap in a table of numbers reads so); fill it "
            "in or leave the row out",
        )
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        # A part of it is named by dots.
        inside = f"; set {setting}: {column}.{next(iter(_parts(value)))}" if _parts(value) else ""
        raise _error(row, column, f"holds {type(value).__name__}, not text or a number{inside}")
    text = str(value)
    if not text.strip():
        raise _error(row, column, "is empty; remove the row or fill it in")
    if not_text := UNWRITABLE.search(text):
        raise _error(
            row,
            column,
            f"holds {not_text[0]!a}, which no file and no database can hold as text; correct the "
            "row",
        )
    return text


def extra_of(row: Row, columns: Iterable[str]) -> Extra:
    """The named columns as JSON, which a reward in a process of its own is given too."""
    extra = dict(row.extra)
    for column in columns:
        value = value_of(row, column, "extra_columns")
        try:
            extra[column] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise _error(
                row,
                column,
                f"cannot be written as JSON ({error}); give text, numbers, lists and mappings",
            ) from error
    return extra


def value_of(row: Row, column: str, setting: str) -> Any:
    """The column of that name, or what dots lead to: `reward_model.ground_truth`, and in lists by
    place, `prompt.0.content`. Raises ProblemError where nothing is there."""
    value: Any = row.columns
    path = [column] if column in row.columns else column.split(".")
    for depth, name in enumerate(path):
        parts = _parts(value)
        if name not in parts:
            place = ".".join(path[:depth]) or "columns"
            there = one_line(", ".join(map(str, parts)), LISTED_CHARACTERS) or "none"
            raise ProblemError(
                f"{row.where}: has no column {column!r} ({place}: {there}); "
                f"set {setting} to one of them"
            )
        value = parts[name]
    return value


def _parts(value: Any) -> Mapping[str, Any]:
    if isinstance(value, list):
        places = [*range(len(value)), *range(-len(value), 0)]
        return {str(place): value[place] for place in places}
    return value if isinstance(value, Mapping) else {}


def _said_by(
    role: Role, messages: Sequence[Mapping[str, Any]], row: Row, column: str, setting: str
) -> Any:
    """What the only message of a role says; a system message belongs to the recipe."""
    roles = [message.get("role") for message in messages]
    if role == "user" and "system" in roles:
        place = roles.index("system")
        said = one_line(str(messages[place].get("content")), SHOWN_CHARACTERS)
        raise _error(
            row,
            column,
            f"begins with a system message ({said!r}); state it in problems.prompt.system, and set "
            f"{setting}: {column}.{roles.index('user') if 'user' in roles else place + 1}.content",
        )
    if roles.count(role) != 1:
        found = ", ".join(map(str, roles))
        raise _error(
            row,
            column,
            f"holds messages of {found}, not one of {role}; name the one that is meant by its "
            f"place, as in {setting}: {column}.0.content",
        )
    return messages[roles.index(role)].get("content")


def _error(row: Row, column: str, what: str) -> ProblemError:
    return ProblemError(f"{row.where}: column {column!r} {what}")

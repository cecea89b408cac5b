"""Options that several commands have, and values that need parsing."""

import re
from typing import Annotated, Literal

import typer

from relex.errors import InputError

DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto takes a GPU.")
]


def parse_steps(text: str) -> tuple[int, int] | None:
    """`FIRST:LAST` as two steps, nothing as None; raises InputError for anything else."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise InputError(f"--steps {text!r}: write the first and the last step, such as 1:75")
    return int(match[1]), int(match[2])

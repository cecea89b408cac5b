"""Options that several commands have, and values that need parsing."""

import re
from typing import Annotated, Literal

import typer

from relex.errors import InputError

DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto takes a GPU.")
]

BaseOption = Annotated[
    str,
    typer.Option(
        help="The untouched model, step 0: a folder, toy, or a repository on the Hub as NAME or "
        "NAME@REVISION."
    ),
]

BYTES_PER_GB = 1_000_000_000

WindowArgument = Annotated[
    str,
    typer.Argument(
        help="A window (folder or s3://bucket/prefix), or a folder of Hugging Face checkpoints "
        "named checkpoint-N, global_step_N or step_N."
    ),
]
StepsOption = Annotated[
    str, typer.Option(help="First and last step to fit on, such as 1:75; all by default.")
]
RankOption = Annotated[int, typer.Option(help="Directions per tensor.")]
MemoryOption = Annotated[
    float | None,
    typer.Option(
        help="Memory for weights of the window, in GB (10^9 bytes); by default 2 on the CPU, half "
        "of what is free on every GPU.",
        min=0.001,
    ),
]


def memory_bytes(memory_gb: float | None) -> int | None:
    return None if memory_gb is None else int(memory_gb * BYTES_PER_GB)


def parse_steps(text: str) -> tuple[int, int] | None:
    """`FIRST:LAST` as two steps, nothing as None; raises InputError for anything else."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise InputError(f"--steps {text!r}: write the first and the last step, such as 1:75")
    return int(match[1]), int(match[2])


def parse_part(text: str) -> tuple[int, int] | None:
    """`I/N` as part and number of parts, nothing as None; raises InputError for anything else."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"--part {text!r}: write the part and the number of parts, such as 2/8")
    return int(match[1]), int(match[2])

"""What several commands have: options, values that need parsing, a progress bar, warnings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from relex.errors import InputError
from relex.extrapolation import FactorsTable, OnProgress, anomalies_of
from relex.home import in_home

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

WindowArgument = Annotated[
    str,
    typer.Argument(
        metavar="WINDOW",
        callback=in_home,
        help="A window (folder or s3://bucket/prefix), or a folder of checkpoints named "
        "checkpoint-N, global_step_N, step_N or as other trainers do.",
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


def parse_pair(option: str, text: str, sign: str, what: str) -> tuple[int, int] | None:
    """`1:75` or `2/8`, by its `sign`, as two numbers from 1 on, the smaller first; nothing as None.

    Raises InputError for anything else.
    """
    if not text:
        return None
    first, _, last = text.partition(sign)
    if first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
        return int(first), int(last)
    raise InputError(f"{option} {text!r}: write {what}")


@contextmanager
def progress_bar(label: str) -> Iterator[OnProgress]:
    """Yields the function to call with the amount done and the amount in all."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None)

        def advance(num_done: int, num_total: int) -> None:
            progress.update(task, completed=num_done, total=num_total)

        yield advance


def warn_of_anomalies(table: FactorsTable) -> None:
    """One line for each repeated snapshot, jump or restart; none for a part of the tensors."""
    if table.part is None:
        for anomaly in anomalies_of(table):
            typer.echo(f"relex: warning: {anomaly.message}", err=True)


def say_note(text: str) -> None:
    """A line for the person, beside what the command prints."""
    typer.echo(f"relex: {text}", err=True)

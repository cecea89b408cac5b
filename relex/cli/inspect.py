"""`relex inspect`: what the factors say about the trajectory, and what of it to believe."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from relex.extrapolation import Diagnostics, diagnose, open_factors
from relex.report import (
    concerns,
    overall_rows,
    settled,
    tensor_table,
    verdict,
    write_trajectory_pictures,
)
from relex.terminal import open_terminal

WIDEST_CHARACTERS = 100


def inspect(
    factors: Annotated[
        Path, typer.Argument(metavar="FACTORS", help="Folder that relex fit wrote.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="New folder for three pictures of the trajectory.")
    ] = None,
    target: Annotated[
        list[int] | None,
        typer.Option(
            help="Step to give the predicted size at; repeatable. By default 2, 4 and 10 windows."
        ),
    ] = None,
) -> None:
    """Show how well the line forecasts, whether it turns, what is odd, and how well it fits."""
    opened = open_factors(factors)
    diagnostics = diagnose(opened.table, target or ())
    if plot is not None:
        write_trajectory_pictures(opened, diagnostics, plot)
    if as_json:
        typer.echo(diagnostics.model_dump_json(indent=1))
        return
    console = open_terminal()
    console.width = min(console.width, WIDEST_CHARACTERS)
    _print_overall(console, diagnostics)
    console.print(tensor_table(diagnostics))
    console.print(
        "Skill is 1 for an exact forecast, 0 for one no better, below 0 for a worse one.\n"
        "Tensors: from those whose forecast hurts most to those that help most, by skill\n"
        "times their share of the movement (moved). All of them are in --json.",
        style="dim",
    )


def _print_overall(console: Console, diagnostics: Diagnostics) -> None:
    steps = diagnostics.steps
    console.print(
        f"{len(steps)} steps from {steps[0]} to {steps[-1]}, rank {diagnostics.rank}, "
        f"{len(diagnostics.tensors)} tensors, {diagnostics.num_still} of them never moved"
    )
    console.print(verdict(diagnostics), style="bold")
    if told := settled(diagnostics):
        console.print(told)
    for warning in concerns(diagnostics):
        console.print(f"! {warning}", style="bold yellow")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(justify="right")
    for row in overall_rows(diagnostics):
        grid.add_row(*row)
    console.print(Padding(grid, (1, 0, 0, 0)))

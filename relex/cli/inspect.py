"""`relex inspect`: what the factors say about the trajectory."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from relex.extrapolation import Factors, open_factors, quality

NUM_SHOWN = 6
NAME_CHARACTERS = 45


def inspect(
    factors: Annotated[Path, typer.Argument(help="Folder that relex fit wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Show the explained fraction and R2 of the fit, overall and for the worst and best tensors."""
    opened = open_factors(factors)
    summary = summarise(opened)
    if as_json:
        typer.echo(json.dumps(summary, indent=1))
        return
    console = Console(highlight=False)
    console.print(_overall(opened, summary))
    console.print(_table(summary))


def summarise(factors: Factors) -> dict[str, Any]:
    """Steps, rank, and the quality overall and by tensor."""
    fits = factors.table.tensors
    return {
        "steps": list(factors.table.steps),
        "rank": factors.table.rank,
        "overall": quality(fits.values()).model_dump(),
        "num_still": sum(not fit.directions for fit in fits.values()),
        "tensors": {name: quality([fit]).model_dump() for name, fit in fits.items()},
    }


def _overall(factors: Factors, summary: dict[str, Any]) -> str:
    steps, overall = factors.table.steps, summary["overall"]
    return (
        f"{len(steps)} steps from {steps[0]} to {steps[-1]}, rank {factors.table.rank}, "
        f"{len(summary['tensors'])} tensors, {summary['num_still']} of them never moved\n"
        f"all tensors together: explained fraction {_share(overall['explained_fraction'])}, "
        f"R2 of the line {_share(overall['r2'])}"
    )


def _table(summary: dict[str, Any]) -> Table:
    """Every tensor that moved, by explained fraction; only both ends where they are many."""
    moved = {n: q for n, q in summary["tensors"].items() if q["explained_fraction"] is not None}
    names = sorted(moved, key=lambda name: moved[name]["explained_fraction"])
    table = Table("tensor", "explained fraction", "R2")
    if len(names) > 2 * NUM_SHOWN:
        names = [*names[:NUM_SHOWN], "", *names[-NUM_SHOWN:]]
    for name in names:
        if name:
            found = moved[name]
            table.add_row(_short(name), _share(found["explained_fraction"]), _share(found["r2"]))
        else:
            table.add_row("...", "...", "...")
    return table


def _short(name: str) -> str:
    """A long name without its middle: layers differ at the start, modules at the end."""
    half = (NAME_CHARACTERS - 3) // 2
    return name if len(name) <= NAME_CHARACTERS else f"{name[:half]}...{name[-half:]}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

"""`relex merge`: the parts of a fit become factors."""

from pathlib import Path
from typing import Annotated

import typer

from relex.cli.findings import warn_of_anomalies
from relex.extrapolation import merge_factors


def merge(
    parts: Annotated[list[Path], typer.Argument(help="Folders that relex fit --part wrote.")],
    out: Annotated[Path, typer.Option(help="New folder for the factors.")],
) -> None:
    """Join the factors of all parts of one fit."""
    table = merge_factors(parts, out).table
    warn_of_anomalies(table)
    typer.echo(f"{out}: rank {table.rank}, {len(table.tensors)} tensors from {len(parts)} parts")

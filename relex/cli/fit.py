"""`relex fit`: a window becomes factors."""

from pathlib import Path
from typing import Annotated

import typer

from relex.checkpoints import open_base
from relex.cli.findings import warn_of_anomalies
from relex.cli.options import (
    BaseOption,
    DeviceOption,
    MemoryOption,
    RankOption,
    StepsOption,
    WindowArgument,
    memory_bytes,
    parse_part,
    parse_steps,
)
from relex.cli.progress import progress_bar
from relex.extrapolation import BUILT_IN, fit_factors
from relex.memory import keep_freed_memory
from relex.window import open_window


def fit(
    window: WindowArgument,
    base: BaseOption,
    out: Annotated[Path, typer.Option(help="New folder for the factors.")],
    steps: StepsOption = "",
    rank: RankOption = 1,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Keep only what this method needs; repeatable. By default all of ours; one of "
            "your own is module:NAME."
        ),
    ] = None,
    part: Annotated[
        str, typer.Option(help="Fit only part I of N of the tensors, such as 2/8; see relex merge.")
    ] = "",
    device: DeviceOption = "auto",
    memory_gb: MemoryOption = None,
) -> None:
    """Fit a direction per tensor, and keep what methods need, from the snapshots of a window."""
    keep_freed_memory()
    checkpoint = open_base(base)
    with progress_bar("fit") as on_progress:
        factors = fit_factors(
            open_window(window, base=checkpoint),
            checkpoint,
            out,
            steps=parse_steps(steps),
            rank=rank,
            methods=tuple(method or BUILT_IN),
            part=parse_part(part),
            memory_bytes=memory_bytes(memory_gb),
            device=device,
            on_progress=on_progress,
        )
    table = factors.table
    warn_of_anomalies(table)
    typer.echo(
        f"{out}: rank {table.rank}, {len(table.tensors)} tensors, {len(table.steps)} steps from "
        f"{table.steps[0]} to {table.steps[-1]}"
    )

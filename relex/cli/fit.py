"""`relex fit`: a window becomes factors."""

from pathlib import Path
from typing import Annotated

import typer

from relex.checkpoints import Checkpoint
from relex.cli.options import DeviceOption, parse_steps
from relex.cli.progress import progress_bar
from relex.extrapolation import DEFAULT_MEMORY_BYTES, fit_factors
from relex.window import open_window

BYTES_PER_GB = 1_000_000_000


def fit(
    window: Annotated[
        str,
        typer.Argument(
            help="A window (folder or s3://bucket/prefix), or a folder of Hugging Face checkpoints "
            "named checkpoint-N, global_step_N or step_N."
        ),
    ],
    base: Annotated[Path, typer.Option(help="Folder of the untouched model, step 0.")],
    out: Annotated[Path, typer.Option(help="New folder for the factors.")],
    steps: Annotated[
        str, typer.Option(help="First and last step to fit on, such as 1:75; all by default.")
    ] = "",
    rank: Annotated[int, typer.Option(help="Directions per tensor.")] = 1,
    device: DeviceOption = "auto",
    memory_gb: Annotated[
        float, typer.Option(help="Memory for displacements, in GB (10^9 bytes).", min=0.001)
    ] = DEFAULT_MEMORY_BYTES / BYTES_PER_GB,
) -> None:
    """Fit a direction and a line per tensor to the snapshots of a window."""
    chosen, checkpoint = parse_steps(steps), Checkpoint(base)
    with progress_bar("fit") as on_progress:
        factors = fit_factors(
            open_window(window, base=checkpoint),
            checkpoint,
            out,
            steps=chosen,
            rank=rank,
            memory_bytes=int(memory_gb * BYTES_PER_GB),
            device=device,
            on_progress=on_progress,
        )
    table = factors.table
    typer.echo(
        f"{out}: rank {table.rank}, {len(table.tensors)} tensors, {len(table.steps)} steps from "
        f"{table.steps[0]} to {table.steps[-1]}"
    )

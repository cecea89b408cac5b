"""`relex extrapolate`: a window becomes factors and checkpoints in one pass."""

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
    parse_steps,
)
from relex.cli.progress import progress_bar
from relex.extrapolation import fit_factors
from relex.window import open_window


def extrapolate(
    window: WindowArgument,
    base: BaseOption,
    step: Annotated[
        list[int], typer.Option(help="Step to extrapolate to, beyond the window; repeatable.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the new folders factors and line-STEP.")],
    steps: StepsOption = "",
    rank: RankOption = 1,
    device: DeviceOption = "auto",
    memory_gb: MemoryOption = None,
) -> None:
    """Fit a window and write extrapolated checkpoints on the way: the window is read once."""
    checkpoint = open_base(base)
    folders = {target: out / f"line-{target}" for target in step}
    with progress_bar("extrapolate") as on_progress:
        factors = fit_factors(
            open_window(window, base=checkpoint),
            checkpoint,
            out / "factors",
            steps=parse_steps(steps),
            rank=rank,
            predictions=folders,
            memory_bytes=memory_bytes(memory_gb),
            device=device,
            on_progress=on_progress,
        )
    warn_of_anomalies(factors.table)
    for target, folder in folders.items():
        typer.echo(f"{folder}: step {target}")

"""`relex extrapolate`: a window becomes factors and checkpoints in one command."""

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
from relex.device import resolve_device
from relex.extrapolation import fit_factors, write_predictions
from relex.extrapolation.checks import choose_steps
from relex.extrapolation.predict import LINE
from relex.memory import keep_freed_memory
from relex.window import open_window


def extrapolate(
    window: WindowArgument,
    base: BaseOption,
    step: Annotated[
        list[int], typer.Option(help="Step to extrapolate to, beyond the window; repeatable.")
    ],
    out: Annotated[Path, typer.Option(help="Folder that gets the new folders factors and step_K.")],
    steps: StepsOption = "",
    rank: RankOption = 1,
    device: DeviceOption = "auto",
    memory_gb: MemoryOption = None,
) -> None:
    """Fit a window and write extrapolated checkpoints: `relex fit` and `relex predict` in one."""
    keep_freed_memory()
    checkpoint = open_base(base)
    opened, first_last = open_window(window, base=checkpoint), parse_steps(steps)
    folders = {target: out / f"step_{target}" for target in step}
    for target in folders:
        LINE.check_target(window, choose_steps(opened, first_last, rank), target)
    with progress_bar("fit") as on_progress:
        factors = fit_factors(
            opened,
            checkpoint,
            out / "factors",
            steps=first_last,
            rank=rank,
            memory_bytes=memory_bytes(memory_gb),
            device=device,
            on_progress=on_progress,
        )
    warn_of_anomalies(factors.table)
    with progress_bar("predict") as on_progress:
        write_predictions(factors, checkpoint, folders, LINE, resolve_device(device), on_progress)
    for target, folder in folders.items():
        typer.echo(f"{folder}: step {target}")

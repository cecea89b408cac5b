"""`relex fit`, `merge` and `extrapolate`: a window becomes factors, and checkpoints on the way."""

from pathlib import Path
from typing import Annotated, Any

import typer

from relex.checkpoints import open_base
from relex.cli.options import (
    BaseOption,
    DeviceOption,
    MemoryOption,
    RankOption,
    StepsOption,
    WindowArgument,
    parse_pair,
    progress_bar,
    warn_of_anomalies,
)
from relex.extrapolation import BUILT_IN, FactorsTable, fit_factors, merge_factors
from relex.window import open_window

BYTES_PER_GB = 1_000_000_000


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
    one_part = parse_pair("--part", part, "/", "the part and the number of parts, such as 2/8")
    own = {"methods": tuple(method or BUILT_IN), "part": one_part}
    table = _fit(window, base, out, steps, memory_gb, rank=rank, device=device, **own)
    typer.echo(
        f"{out}: rank {table.rank}, {len(table.tensors)} tensors, {len(table.steps)} steps from "
        f"{table.steps[0]} to {table.steps[-1]}"
    )


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
    folders = {target: out / f"line-{target}" for target in step}
    own = {"rank": rank, "device": device, "predictions": folders}
    _fit(window, base, out / "factors", steps, memory_gb, **own)
    for target, folder in folders.items():
        typer.echo(f"{folder}: step {target}")


def merge(
    parts: Annotated[list[Path], typer.Argument(help="Folders that relex fit --part wrote.")],
    out: Annotated[Path, typer.Option(help="New folder for the factors.")],
) -> None:
    """Join the factors of all parts of one fit."""
    table = merge_factors(parts, out).table
    warn_of_anomalies(table)
    typer.echo(f"{out}: rank {table.rank}, {len(table.tensors)} tensors from {len(parts)} parts")


def _fit(
    window: str, base: str, out: Path, steps: str, memory_gb: float | None, **options: Any
) -> FactorsTable:
    """The table of the factors; `options` are those of `fit_factors`."""
    checkpoint = open_base(base)
    with progress_bar("fit") as on_progress:
        table = fit_factors(
            open_window(window, base=checkpoint),
            checkpoint,
            out,
            steps=parse_pair("--steps", steps, ":", "the first and the last step, such as 1:75"),
            memory_bytes=None if memory_gb is None else int(memory_gb * BYTES_PER_GB),
            on_progress=on_progress,
            **options,
        ).table
    warn_of_anomalies(table)
    return table

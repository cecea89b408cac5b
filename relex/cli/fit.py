"""`relex fit`, `merge` and `extrapolate`: a window becomes factors, and checkpoints on the way."""

from pathlib import Path
from typing import Annotated, Any

import typer

from relex.allocator import keep_freed_memory
from relex.checkpoints import Checkpoint, open_base
from relex.cli.options import (
    BaseOption,
    DeviceOption,
    MemoryOption,
    RankOption,
    StepsOption,
    WindowArgument,
    parse_pair,
    progress_bar,
    say_note,
    warn_of_anomalies,
)
from relex.device import resolve_device
from relex.extrapolation import (
    BUILT_IN,
    Factors,
    fit_factors,
    merge_factors,
    write_predictions,
)
from relex.extrapolation.checks import choose_steps
from relex.extrapolation.predict import LINE
from relex.storage.atomic import check_new
from relex.window import Window, open_window

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
    checkpoint = open_base(base)
    opened = open_window(window, base=checkpoint)
    table = _fit(opened, checkpoint, out, steps, memory_gb, rank=rank, device=device, **own).table
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
    """Fit a window and write extrapolated checkpoints: `relex fit` and `relex predict` in one."""
    checkpoint = open_base(base)
    opened = open_window(window, base=checkpoint)
    folders = {target: out / f"line-{target}" for target in step}
    # All that can be refused is, before the fit, which takes long.
    for target, folder in folders.items():
        LINE.check_target(window, choose_steps(opened, _first_last(steps), rank), target)
        check_new(folder)
    own = {"rank": rank, "device": device}
    factors = _fit(opened, checkpoint, out / "factors", steps, memory_gb, **own)
    with progress_bar("predict") as on_progress:
        torch_device = resolve_device(device)
        write_predictions(
            factors, checkpoint, folders, LINE, torch_device, on_progress, base_name=base
        )
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
    window: Window,
    base: Checkpoint,
    out: Path,
    steps: str,
    memory_gb: float | None,
    **options: Any,
) -> Factors:
    """`options` are those of `fit_factors`."""
    keep_freed_memory()
    for note in window.notes:
        say_note(f"{window.where}: {note}")
    with progress_bar("fit") as on_progress:
        factors = fit_factors(
            window,
            base,
            out,
            steps=_first_last(steps),
            memory_bytes=None if memory_gb is None else int(memory_gb * BYTES_PER_GB),
            on_progress=on_progress,
            **options,
        )
    warn_of_anomalies(factors.table)
    return factors


def _first_last(steps: str) -> tuple[int, int] | None:
    return parse_pair("--steps", steps, ":", "the first and the last step, such as 1:75")

"""`relex predict`: factors become checkpoints, or adapters, by a method."""

from pathlib import Path
from typing import Annotated

import typer

from relex.checkpoints import Checkpoint, open_base
from relex.cli.options import BaseOption, DeviceOption, progress_bar
from relex.device import resolve_device
from relex.extrapolation import (
    BUILT_IN,
    Factors,
    Method,
    find_method,
    open_factors,
    write_adapter,
    write_predictions,
)
from relex.parts import Part, find_part


def predict(
    factors: Annotated[
        Path, typer.Argument(metavar="FACTORS", help="Folder that relex fit wrote.")
    ],
    base: BaseOption,
    step: Annotated[
        list[int],
        typer.Option(help="Step to go to, beyond the window (denoised: a step of it); repeatable."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="New folder for the checkpoint; of several steps, for METHOD-STEP[@PART]."
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            help=f"How to go there: {', '.join(BUILT_IN)}, or your own as module:NAME; with "
            "parameters such as line-rank3, secant-gap10, shrunk-factor0.5."
        ),
    ] = "line",
    part: Annotated[
        str,
        typer.Option(
            help="Move only these tensors, all others stay at the newest snapshot: layers as "
            "20-29, a kind as mlp, attention or embeddings, or both as 20-29.mlp."
        ),
    ] = "",
    adapter_rank: Annotated[
        int | None,
        typer.Option(
            help="Of factors of LoRA adapters: write an adapter of this rank, not a checkpoint.",
            min=1,
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Write the checkpoints that a method reaches at steps, in the dtype and files of the base."""
    found, moving = find_method(method), find_part(part)
    at_part = f"@{part}" if part else ""
    folders = {one: out if len(step) == 1 else out / f"{method}-{one}{at_part}" for one in step}
    checkpoint, opened = open_base(base), open_factors(factors)
    if adapter_rank is not None:
        _write_adapters(opened, checkpoint, folders, adapter_rank, found, moving)
        return
    with progress_bar("predict") as on_progress:
        torch_device = resolve_device(device)
        write_predictions(
            opened, checkpoint, folders, found, torch_device, on_progress, moving, base
        )
    for one, folder in folders.items():
        typer.echo(f"{folder}: step {one}")


def _write_adapters(
    factors: Factors,
    base: Checkpoint,
    folders: dict[int, Path],
    rank: int,
    method: Method,
    part: Part,
) -> None:
    for step, folder in folders.items():
        found = write_adapter(factors, base, step, folder, rank, method, part)
        worst = max(found.error_of, key=lambda name: found.error_of[name])
        typer.echo(
            f"{folder}: step {step}, an adapter of rank {rank}; compressing costs "
            f"{found.error:.2%} of the displacement, at most {found.error_of[worst]:.2%} ({worst})"
        )

"""`relex predict`: factors become extrapolated or denoised checkpoints."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from relex.checkpoints import Checkpoint, write_checkpoint
from relex.cli.options import DeviceOption, parse_steps
from relex.cli.progress import progress_bar
from relex.config import PredictionOptions
from relex.device import resolve_device
from relex.errors import InputError
from relex.extrapolation import (
    Factors,
    baseline_tensors,
    open_factors,
    write_adapter,
    write_predictions,
)
from relex.window import open_window


def predict(
    factors: Annotated[Path, typer.Argument(help="Folder that relex fit wrote.")],
    base: Annotated[Path, typer.Option(help="Folder of the base that the factors were fitted on.")],
    step: Annotated[
        list[int], typer.Option(help="Step to extrapolate to, beyond the window; repeatable.")
    ],
    out: Annotated[
        Path,
        typer.Option(help="New folder for the checkpoint; with several steps, for folders step_K."),
    ],
    denoise: Annotated[
        Literal["no", "fitted", "observed"],
        typer.Option(help="For steps of the window: their coefficients on the line, or observed."),
    ] = "no",
    rank: Annotated[
        int | None, typer.Option(help="Leading directions to use; all by default.")
    ] = None,
    degree: Annotated[int, typer.Option(help="Degree of the polynomial; 1 is the line.")] = 1,
    line_steps: Annotated[
        str, typer.Option(help="First and last step for the line, such as 1:75; all by default.")
    ] = "",
    anchor: Annotated[
        Literal["base", "newest"],
        typer.Option(help="Add the displacement to the base or to the newest snapshot."),
    ] = "base",
    shrinkage: Annotated[float, typer.Option(help="Factor on the displacement.")] = 1.0,
    norms: Annotated[
        Literal["predicted", "newest"],
        typer.Option(help="Predict normalisation weights, or copy those of the newest snapshot."),
    ] = "predicted",
    baseline: Annotated[
        Literal["no", "scaled", "secant", "line"],
        typer.Option(
            help="A prediction without directions, to compare with: the first update scaled to the "
            "step, the line through the last two snapshots, or the line of every weight by itself."
        ),
    ] = "no",
    adapter_rank: Annotated[
        int | None,
        typer.Option(
            help="Of factors of LoRA adapters: write an adapter of this rank, not a checkpoint.",
            min=1,
        ),
    ] = None,
    window: Annotated[
        str, typer.Option(help="The window that was fitted, for what is taken from it.")
    ] = "",
    device: DeviceOption = "auto",
) -> None:
    """Write the checkpoints that the lines reach at steps, in the dtype and files of the base."""
    try:
        options = PredictionOptions(
            rank=rank,
            degree=degree,
            line_steps=parse_steps(line_steps, "--line-steps"),
            denoise=denoise,
            anchor=anchor,
            shrinkage=shrinkage,
            norms=norms,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(": ".join([*map(str, first["loc"]), first["msg"]])) from error
    folders = {one: out if len(step) == 1 else out / f"step_{one}" for one in step}
    checkpoint = Checkpoint(base)
    opened_window = open_window(window, base=checkpoint) if window else None
    if adapter_rank is not None:
        _write_adapters(open_factors(factors), checkpoint, folders, adapter_rank, options)
        return
    with progress_bar("predict") as on_progress:
        if baseline == "no":
            write_predictions(
                open_factors(factors),
                checkpoint,
                folders,
                options,
                opened_window,
                resolve_device(device),
                on_progress,
            )
        elif opened_window is None:
            raise InputError(f"--baseline {baseline} is made of snapshots; give --window too")
        else:
            for num_done, (one, folder) in enumerate(folders.items(), start=1):
                tensors = baseline_tensors(opened_window, checkpoint, baseline, one, options)
                write_checkpoint(folder, checkpoint, tensors)
                on_progress(num_done, len(folders))
    for one, folder in folders.items():
        typer.echo(f"{folder}: step {one}")


def _write_adapters(
    factors: Factors,
    base: Checkpoint,
    folders: dict[int, Path],
    rank: int,
    options: PredictionOptions,
) -> None:
    for step, folder in folders.items():
        found = write_adapter(factors, base, step, folder, rank, options)
        worst = max(found.error_of, key=lambda name: found.error_of[name])
        typer.echo(
            f"{folder}: step {step}, an adapter of rank {rank}; compressing costs "
            f"{found.error:.2%} of the displacement, at most {found.error_of[worst]:.2%} ({worst})"
        )

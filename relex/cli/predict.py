"""`relex predict`: factors become an extrapolated checkpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from relex.checkpoints import Checkpoint, NamedTensor, write_checkpoint
from relex.cli.options import DeviceOption
from relex.cli.progress import progress_bar
from relex.device import resolve_device
from relex.extrapolation import OnProgress, open_factors, predict_tensors


def predict(
    factors: Annotated[Path, typer.Argument(help="Folder that relex fit wrote.")],
    base: Annotated[Path, typer.Option(help="Folder of the base that the factors were fitted on.")],
    step: Annotated[int, typer.Option(help="Step to extrapolate to, beyond the window.")],
    out: Annotated[Path, typer.Option(help="New folder for the checkpoint.")],
    device: DeviceOption = "auto",
) -> None:
    """Write the checkpoint that the lines reach at a step, in the dtype and files of the base."""
    checkpoint = Checkpoint(base)
    tensors = predict_tensors(
        open_factors(factors), checkpoint, step, device=resolve_device(device)
    )
    with progress_bar("predict") as on_progress:
        write_checkpoint(out, checkpoint, _counted(tensors, checkpoint, on_progress))
    typer.echo(f"{out}: step {step}")


def _counted(
    tensors: Iterator[NamedTensor], base: Checkpoint, on_progress: OnProgress
) -> Iterator[NamedTensor]:
    """Pass `tensors` on and report the elements that went by."""
    num_total = sum(info.num_elements for info in base.tensors.values())
    num_done = 0
    for name, tensor in tensors:
        yield name, tensor
        num_done += tensor.numel()
        on_progress(num_done, num_total)

"""`relex window`: what a window holds, whether it is whole, and its steps as checkpoints."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from relex.checkpoints import Checkpoint
from relex.cli.progress import progress_bar
from relex.extrapolation.checks import check_window_of_base
from relex.window import check_window, open_window, unpack

BYTES_PER_MB = 1_000_000

window_app = typer.Typer(help="Look into a window and check it.")
WindowArgument = Annotated[
    str,
    typer.Argument(
        metavar="WINDOW",
        help="A window (folder or s3://bucket/prefix), or a folder of Hugging Face checkpoints "
        "named checkpoint-N, global_step_N or step_N.",
    ),
]


@window_app.command("ls")
def list_steps(where: WindowArgument) -> None:
    """List the steps and their sizes."""
    window = open_window(where)
    step_mb = sum(info.num_bytes for info in window.tensors.values()) / BYTES_PER_MB
    table = Table("step", "tensors", "MB")
    for step in window.steps:
        table.add_row(str(step), str(len(window.tensors)), f"{step_mb:.1f}")
    Console().print(table)
    typer.echo(f"{where}: {len(window.steps)} steps, {len(window.steps) * step_mb:.1f} MB")


@window_app.command("verify")
def verify(where: WindowArgument) -> None:
    """Read every byte and compare it with the recorded digests."""
    with progress_bar("verify") as on_progress:
        num_steps = check_window(where, on_progress=on_progress)
    typer.echo(f"{where}: {num_steps} steps, every digest is right")


@window_app.command("unpack")
def unpack_step(
    where: WindowArgument,
    step: Annotated[int, typer.Option(help="Step to write.")],
    base: Annotated[Path, typer.Option(help="Folder of the base: its config and tokenizer.")],
    out: Annotated[Path, typer.Option(help="New folder for the checkpoint.")],
) -> None:
    """Write a step as a Hugging Face checkpoint, bit for bit."""
    checkpoint = Checkpoint(base)
    window = open_window(where, base=checkpoint)
    check_window_of_base(window, checkpoint)
    unpack(window, step, checkpoint, out)
    typer.echo(f"{out}: step {step}")

"""`relex window`: makes windows of checkpoints, looks into them, checks and removes them."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from relex.checkpoints import open_base
from relex.cli.options import BaseOption, progress_bar, say_note
from relex.extrapolation.checks import check_window_of_base
from relex.home import in_home
from relex.storage import open_store
from relex.window import (
    Precision,
    check_window,
    open_manifest,
    open_source,
    open_window,
    orphans,
    pack,
    remove_orphans,
    remove_window,
    strangers,
    unpack,
    window_keys,
)

BYTES_PER_MB = 1_000_000
MOST_NAMED = 10

window_app = typer.Typer(help="Make windows of checkpoints, look into them, check and remove them.")
WindowArgument = Annotated[
    str,
    typer.Argument(
        metavar="WINDOW", callback=in_home, help="A window: a folder or s3://bucket/prefix."
    ),
]
DryRunOption = Annotated[bool, typer.Option(help="Only say what would be removed.")]


@window_app.command("pack")
def pack_window(
    checkpoints: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINTS",
            callback=in_home,
            help="A folder or s3://bucket/prefix of checkpoints named checkpoint-N, global_step_N, "
            "step_N or as other trainers do, or a repository on the Hub with such branches.",
        ),
    ],
    base: BaseOption,
    out: Annotated[
        str,
        typer.Option(
            metavar="WINDOW", callback=in_home, help="The window: a folder or s3://bucket/prefix."
        ),
    ],
    precision: Annotated[
        Precision,
        typer.Option(help="exact keeps every bit; rounded and bfloat16 are smaller."),
    ] = "exact",
    work: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            writable=True,
            help="Existing folder with room for two steps from the Hub or of pickled weights.",
        ),
    ] = None,
    step_pattern: Annotated[
        str,
        typer.Option(
            help=r"Other names of steps, as a regular expression with one group: run_(\d+); with "
            r"run_(?P<index>\d+) the first step has the number 0."
        ),
    ] = "",
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Read pickled weights of a trainer that you trust (FSDP shards, torch.distributed "
            "checkpoints): tensors only, in a process of their own.",
        ),
    ] = False,
) -> None:
    """Make a window of checkpoints; run it again to go on where it stopped."""
    checkpoint = open_base(base)
    with (
        tempfile.TemporaryDirectory(prefix="relex-pack-", dir=work) as scratch,
        progress_bar("pack") as on_progress,
    ):
        steps = pack(
            open_source(
                checkpoints,
                None,
                Path(scratch),
                step_pattern=step_pattern,
                allow_pickle=allow_pickle,
            ),
            checkpoint,
            open_store(out),
            precision=precision,
            work=Path(scratch),
            on_progress=on_progress,
            on_note=say_note,
        )
    typer.echo(f"{out}: {len(steps)} steps from {steps[0]} to {steps[-1]}")


@window_app.command("ls")
def list_steps(where: WindowArgument) -> None:
    """List the steps and what they take."""
    _, manifest = open_manifest(where)
    facts = manifest.facts
    # Adapters tell nothing about the checkpoint that they belong to.
    is_adapters = facts.precision == "adapters"
    tensors = {} if is_adapters else open_window(where).tensors
    whole_bytes = sum(info.num_bytes for info in tensors.values())
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("step", "kind", "MB", "% of a checkpoint"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    num_bytes = 0
    for file in facts.steps:
        size_bytes = manifest.files[file.key].size_bytes
        num_bytes += size_bytes
        share = "" if is_adapters else f"{100 * size_bytes / whole_bytes:.2f}"
        table.add_row(str(file.step), file.kind, f"{size_bytes / BYTES_PER_MB:,.3f}", share)
    Console().print(table)
    all_bytes = len(facts.steps) * whole_bytes
    planned = "" if facts.complete else f" of {len(facts.planned_steps)} planned"
    of_all = (
        ""
        if is_adapters
        else f", {num_bytes / all_bytes:.2%} of the {all_bytes / BYTES_PER_MB:,.3f} MB of "
        "checkpoints"
    )
    typer.echo(
        f"{where}: {len(facts.steps)}{planned} steps, {facts.precision}, "
        f"{num_bytes / BYTES_PER_MB:,.3f} MB{of_all}"
    )


@window_app.command("verify")
def verify(
    where: WindowArgument,
    quick: Annotated[bool, typer.Option("--quick", help="Only manifest, sizes, headers.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Decode every step too, which needs --base.")
    ] = False,
    base: BaseOption = "",
) -> None:
    """Read every file and compare it with its digest."""
    if full and (not base or quick):
        raise typer.BadParameter("--full needs --base, and cannot be --quick")
    checkpoint = open_base(base) if full else None
    with progress_bar("verify") as on_progress:
        num_steps = check_window(where, base=checkpoint, quick=quick, on_progress=on_progress)
    found = "every size is right" if quick else "every digest is right"
    typer.echo(f"{where}: {num_steps} steps, {found}{', and every step replays' if full else ''}")


@window_app.command("unpack")
def unpack_step(
    where: Annotated[
        str,
        typer.Argument(
            metavar="WINDOW",
            callback=in_home,
            help="A window, or a folder of checkpoints named checkpoint-N, global_step_N, step_N "
            "or as other trainers do.",
        ),
    ],
    step: Annotated[int, typer.Option(help="Step to write.")],
    base: BaseOption,
    out: Annotated[Path, typer.Option(help="New folder for the checkpoint.")],
) -> None:
    """Write a step as a Hugging Face checkpoint, bit for bit as it is kept."""
    checkpoint = open_base(base)
    window = open_window(where, base=checkpoint)
    check_window_of_base(window, checkpoint)
    with progress_bar("unpack") as on_progress:
        unpack(window, step, checkpoint, out, on_progress)
    typer.echo(f"{out}: step {step}")


@window_app.command("rm")
def remove(where: WindowArgument, dry_run: DryRunOption = False) -> None:
    """Remove a window: what its manifest accounts for, and nothing else that lies there."""
    store = open_store(where)
    left = strangers(store)
    _say_removed(where, window_keys(store) if dry_run else remove_window(store), dry_run)
    _say_left(where, left)


@window_app.command("clean")
def clean(where: WindowArgument, dry_run: DryRunOption = False) -> None:
    """Remove what killed writers left: files of no step, and uploads that never ended."""
    store = open_store(where)
    keys, num_uploads = (orphans(store), 0) if dry_run else remove_orphans(store)
    _say_removed(where, keys, dry_run)
    if num_uploads:
        typer.echo(f"{where}: {_count(num_uploads, 'unfinished upload')} removed")
    _say_left(where, strangers(store))


def _say_removed(where: str, keys: list[str], dry_run: bool) -> None:
    for key in keys:
        typer.echo(f"{where}/{key}")
    typer.echo(f"{where}: {_count(len(keys), 'file')} {'would be ' if dry_run else ''}removed")


def _say_left(where: str, keys: list[str]) -> None:
    """Of a bucket full of other things, the first few."""
    if keys:
        named = ", ".join([*keys[:MOST_NAMED], *(["..."] if len(keys) > MOST_NAMED else [])])
        typer.echo(f"{where}: left {_count(len(keys), 'file')} not of the window: {named}")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"

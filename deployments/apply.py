"""`python -m deployments.apply`: brings a Prefect server to what prefect.yaml says.

Work pool, queues, deployments and automations are created or updated, each with a line that says
which; applying again changes nothing. At the end all of it is read back and compared with the file.
Whether a schedule is switched on is the file's choice only at first, and then the users'.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import get_current_settings

from deployments.automation_files import apply_automations
from deployments.deploy import apply_deployments
from deployments.pool import POOL_TYPES, apply_pool
from deployments.registry import REGISTRY, read_registry
from relex.addresses import check_command
from relex.errors import RelexError, ResourceError
from tasks.gpus import visible_gpus


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deployments.apply", description=__doc__)
    parser.add_argument(
        "--gpus",
        type=int,
        default=len(visible_gpus()),
        help="GPUs of all workers together, which is how many runs of the queue `gpu` go on at "
        "once; 0 is no limit; default: those of this machine",
    )
    parser.add_argument("--pool-type", choices=POOL_TYPES, default=POOL_TYPES[0])
    parser.add_argument("--registry", type=Path, default=REGISTRY, help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        check_command()
        for line in apply(arguments.registry, arguments.gpus, arguments.pool_type):
            print(line, flush=True)
    except RelexError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def apply(registry_path: Path, num_gpus: int, pool_type: str) -> Iterator[str]:
    """Yield one line for each object: `created`, `updated` or `unchanged`, and its name.

    Raises ResourceError when no server answers, InputError when the file asks for something that
    the server did not take.
    """
    registry = read_registry(registry_path)
    with answering_server() as client:
        yield from apply_pool(client, registry["definitions"]["work_pool"], num_gpus, pool_type)
        yield from apply_deployments(client, registry)
        yield from apply_automations(client)


@contextmanager
def answering_server() -> Iterator[SyncPrefectClient]:
    """The server of PREFECT_API_URL; raises ResourceError when there is none or it is silent."""
    address: Any = get_current_settings().api.url
    if not address:
        raise ResourceError(
            "PREFECT_API_URL: is not set; `make up` starts a server on this machine, or set it to "
            "the address of yours, for example http://127.0.0.1:4200/api"
        )
    with get_client(sync_client=True) as client:
        fault = client.api_healthcheck()
        if fault is not None:
            raise ResourceError(
                f"PREFECT_API_URL {address}: no Prefect server answers ({fault}); start it "
                "(`make up`) or correct the address"
            )
        yield client


if __name__ == "__main__":
    main()

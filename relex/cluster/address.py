"""Where the Ray cluster is: `RELEX_CLUSTER`, of the process that runs the stages."""

import os
import socket
from importlib.util import find_spec

from relex.errors import ResourceError
from relex.visible import visible

VARIABLE = "RELEX_CLUSTER"
TIMEOUT_SECONDS = 10.0


def cluster_address() -> str:
    """`HOST:PORT` of the cluster's head; nothing where there is none and all is done here."""
    return os.environ.get(VARIABLE, "").strip()


def check_address(address: str) -> None:
    """Raise ResourceError when it is none, nothing answers there or Ray is not installed."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ResourceError(
            f"{VARIABLE} {visible(address)}: is no address; give HOST:PORT of the head, such as "
            "10.0.0.1:6379"
        )
    if find_spec("ray") is None:
        raise ResourceError(f"{VARIABLE} {address}: Ray is not installed; install relex[ray]")
    try:
        socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"{VARIABLE} {address}: no cluster answers there ({error}); start one, see "
            "docs/cluster.md, or unset the variable"
        ) from error

"""Addresses hold no secrets: they are stored with runs, shown on pages and printed in errors."""

import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any

from relex.errors import InputError

NO_CREDENTIALS = r"^(?!.*:/*[^/]*@)"
"""Lets a form refuse most of what `credentials_at` finds, before it is stored anywhere."""

CREDENTIALS = re.compile(
    # A name or a token before the host.
    r"://[^/@]*@"
    # A name and a password, which may have slashes in it, but no port with a path.
    r"|:/*[^/:@]*:(?!\d*(?:/|$))[^@]*@"
    r"|^[^/:@]+:[^/@]*@"
    # A field of a query, as in presigned links.
    r"|[?&;#][\w.-]*(?:passw|pwd|secret|token|signature|credential|access.?key|\bsig\b)[\w.-]*=",
    re.IGNORECASE,
)
TEXTS = {"template", "system", "stop"}
"""Fields of a recipe that hold text for the model."""

VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "RELEX_S3_ENDPOINT",
    "PREFECT_API_URL",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "HF_ENDPOINT",
)
"""Variables that hold the addresses of servers that runs use."""

TOLD = (
    "holds a user name or password, which would be shown wherever the run is; leave it out, "
    "and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD, PREFECT_API_AUTH_STRING or HF_TOKEN in the environment of the worker"
)


def credentials_at(value: Any) -> str | None:
    """The place of an address with credentials in what a recipe holds, such as `.storage.uri`;
    None where there is none."""
    pending: list[tuple[str, Any]] = [("", value)]
    seen: set[int] = set()
    while pending:
        where, found = pending.pop()
        if isinstance(found, str) and CREDENTIALS.search(unicodedata.normalize("NFKC", found)):
            return where
        # Twice through an anchor of YAML is once too often.
        if isinstance(found, Mapping | list | tuple) and id(found) not in seen:
            seen.add(id(found))
            entries = found.items() if isinstance(found, Mapping) else enumerate(found)
            pending += [(f"{where}.{key}", entry) for key, entry in entries if key not in TEXTS]
    return None


def without_credentials(value: Any) -> Any:
    """`value`, which a recipe or a sweep is made from; raises ValueError where it holds any."""
    place = credentials_at(value)
    if place is not None:
        raise ValueError(f"{place.lstrip('.')}: {TOLD}")
    return value


def check_addresses(stated: Mapping[str, str]) -> None:
    """Raise InputError when one of the texts, by the place where it is stated, holds credentials;
    the message does not."""
    place = credentials_at(stated)
    if place is not None:
        raise InputError(f"{place.lstrip('.')}: {TOLD}")


def check_environment() -> None:
    """As `check_addresses`, for the servers that the environment names."""
    check_addresses({name: os.environ.get(name, "") for name in VARIABLES})


def check_command() -> None:
    """As `check_addresses`, for the arguments of this command and its environment."""
    check_addresses({f"argument {n}": text for n, text in enumerate(sys.argv[1:], start=1)})
    check_environment()

"""How to reach an S3 server, without secrets, so that it can be handed to child processes."""

import os
from typing import Literal

from relex.strict import Strict

Checksums = Literal["when_supported", "when_required"]
SERVICE_ENDPOINT, SERVICE_CREDENTIALS = "RELEX_S3_ENDPOINT", "RELEX_S3_CREDENTIALS"
"""Variables that a service sets for the runs it starts: the address of its S3 server, and an AWS
credentials file, without which the keys come from the usual AWS chain."""


class S3Connection(Strict):
    """Address and options; keys come from the usual AWS chain or from a credentials file."""

    endpoint_url: str = ""
    """Address of the server; empty means AWS."""

    region: str = ""
    """Region; empty takes it from the AWS configuration."""

    profile: str = ""
    """Profile of the AWS configuration."""

    credentials_file: str = ""
    """AWS credentials file to read instead of the user's."""

    checksums: Checksums = "when_supported"
    """Whether to send the CRC headers that some S3-compatible servers refuse."""


def service_connection() -> S3Connection | None:
    """The S3 server of the service in which this process runs; None outside of one."""
    endpoint = os.environ.get(SERVICE_ENDPOINT)
    if not endpoint:
        return None
    return S3Connection(
        endpoint_url=endpoint,
        region="us-east-1",
        credentials_file=os.environ.get(SERVICE_CREDENTIALS, ""),
        checksums="when_required",
    )

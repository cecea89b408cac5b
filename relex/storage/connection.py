"""How to reach an S3 server, without secrets, so that it can be handed to child processes."""

from typing import Literal

from relex.config.recipe import StorageConfig
from relex.config.strict import Strict

Checksums = Literal["when_supported", "when_required"]


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


def connection_of(config: StorageConfig) -> S3Connection:
    """The connection that a recipe describes."""
    automatic: Checksums = "when_required" if config.endpoint_url else "when_supported"
    return S3Connection(
        endpoint_url=config.endpoint_url,
        region=config.region,
        profile=config.profile,
        checksums=automatic if config.checksums == "auto" else config.checksums,
    )

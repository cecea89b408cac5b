"""Where runs are kept and recorded."""

from typing import Literal

from pydantic import Field

from relex.config.addresses import NO_CREDENTIALS
from relex.config.strict import Section
from relex.storage.connection import Checksums, S3Connection

Keep = Literal["window", "factors", "nothing"]
"""What stays of a run beside the chosen model."""


class StorageConfig(Section):
    """Where runs are kept."""

    uri: str = Field(default="embedded", pattern=r"^(embedded|s3://[^/]+(/.*)?)$")
    """`s3://bucket/prefix`, or `embedded`: an S3 server of relex's own on a local folder."""

    endpoint_url: str = Field(default="", json_schema_extra={"pattern": NO_CREDENTIALS})
    """Address of an S3 server that is not AWS, without keys."""

    region: str = ""
    """Region; empty takes it from the AWS configuration."""

    profile: str = ""
    """Profile of the AWS configuration; empty takes the usual chain."""

    checksums: Literal["auto", "when_supported", "when_required"] = "auto"
    """Extra S3 checksums; `auto` leaves them out for endpoints that are not AWS."""

    keep: Keep = "window"
    """What stays beside the chosen model when a run is done: window and factors, the factors only,
    or neither."""

    @property
    def connection(self) -> S3Connection:
        """How to reach it."""
        automatic: Checksums = "when_required" if self.endpoint_url else "when_supported"
        return S3Connection(
            endpoint_url=self.endpoint_url,
            region=self.region,
            profile=self.profile,
            checksums=automatic if self.checksums == "auto" else self.checksums,
        )


class TrackingConfig(Section):
    """Where runs are compared."""

    uri: str = Field(default="", json_schema_extra={"pattern": NO_CREDENTIALS})
    """MLflow server, without a password; empty keeps a SQLite database beside the runs."""

    experiment: str = Field(default="relex", min_length=1, max_length=200)
    """MLflow experiment."""

    registered_model: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$", max_length=200)
    """Name in the model registry; empty takes one of base and first test benchmark, such as
    `Qwen2.5-Math-1.5B-on-math_500`. The best of all runs with one name is its champion."""

"""A store below an S3 prefix, on AWS or any server that speaks S3."""

import os
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from relex.errors import StorageError
from relex.storage.connection import S3Connection

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import MultipartUploadTypeDef

PART_BYTES = 64 << 20
PARALLEL_PARTS = 8
MAX_ATTEMPTS = 10
CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 60
# What botocore retries ends with the headers of an answer; a body that breaks is for us to repeat.
NUM_BODIES = 5
FIRST_PAUSE_SECONDS = 0.1
BROKEN_BODY = (
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
    ResponseParserError,
    HTTPError,
)
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
NOT_FOUND = {"404", "NoSuchKey", "NotFound"}

# "classic" because the CRT client ignores endpoint_url (boto3 1.44).
TRANSFER = TransferConfig(
    multipart_threshold=PART_BYTES,
    multipart_chunksize=PART_BYTES,
    max_concurrency=PARALLEL_PARTS,
    preferred_transfer_client="classic",
)


@lru_cache
def open_client(connection: S3Connection, max_attempts: int = MAX_ATTEMPTS) -> "S3Client":
    """The client of a connection; safe to share between threads, and slow to make (0.2 s).

    Raises StorageError when the connection cannot be used at all: a profile that does not exist, or
    an address that is none.
    """
    config = Config(
        retries={"mode": "adaptive", "max_attempts": max_attempts},
        request_checksum_calculation=connection.checksums,
        response_checksum_validation=connection.checksums,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        max_pool_connections=2 * PARALLEL_PARTS,
        s3={"addressing_style": "path"} if connection.endpoint_url else {},
        # A server on this machine is never behind the proxy of the environment.
        proxies={} if urlsplit(connection.endpoint_url).hostname in LOOPBACK else None,
    )
    try:
        return boto3.Session(botocore_session=_session(connection)).client(
            "s3",
            endpoint_url=connection.endpoint_url or None,
            region_name=connection.region or ("us-east-1" if connection.endpoint_url else None),
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise StorageError(f"S3 cannot be used: {error}; correct the storage section") from error


def _session(connection: S3Connection) -> botocore.session.Session:
    if not connection.credentials_file:
        return botocore.session.Session(profile=connection.profile or None)
    # Naming the profile makes botocore ignore keys in the environment, and without the user's
    # configuration nothing else can come before the keys of the file.
    session = botocore.session.Session(profile=connection.profile or "default")
    session.set_config_variable("credentials_file", connection.credentials_file)
    session.set_config_variable("config_file", os.devnull)
    return session


def split_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/some/prefix` as bucket and prefix, the prefix without slashes at its ends."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise StorageError(f"{uri}: not an S3 address; write s3://bucket/prefix")
    return bucket, prefix.strip("/")


Answer = TypeVar("Answer")


class _Object(TypedDict):
    Bucket: str
    Key: str


class S3Store:
    """Objects below `s3://bucket/prefix`."""

    def __init__(self, uri: str, client: "S3Client") -> None:
        self.bucket, self.prefix = split_uri(uri)
        self.uri = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        self.client = client

    def put(self, key: str, data: bytes) -> None:
        self._do("write", key, partial(self.client.put_object, Body=data, **self._object(key)))

    def put_file(self, key: str, path: Path) -> None:
        upload = partial(
            self.client.upload_file, str(path), self.bucket, self._key(key), Config=TRANSFER
        )
        self._do("write", key, upload)

    def get(self, key: str) -> bytes:
        return self._do(
            "read", key, lambda: self.client.get_object(**self._object(key))["Body"].read()
        )

    def read(self, key: str, start: int, stop: int) -> bytes:
        if start == stop:
            return b""
        span = f"bytes={start}-{stop - 1}"
        return self._do(
            "read",
            key,
            lambda: self.client.get_object(Range=span, **self._object(key))["Body"].read(),
        )

    def read_into(self, key: str, start: int, out: memoryview) -> int:
        data = self.read(key, start, start + len(out))
        out[: len(data)] = data
        return len(data)

    def get_file(self, key: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        download = partial(
            self.client.download_file, self.bucket, self._key(key), str(path), Config=TRANSFER
        )
        self._do("read", key, download)

    def size(self, key: str) -> int | None:
        return self._do("read", key, partial(self._size, key))

    def list(self, prefix: str = "") -> list[str]:
        keys = self._do("list", prefix, partial(_keys, self.client, self.bucket, self._key(prefix)))
        root = self._key("")
        return sorted(key.removeprefix(root) for key in keys)

    def delete(self, key: str) -> None:
        self._do("delete", key, partial(self.client.delete_object, **self._object(key)))

    def abort_uploads(self, keys: Collection[str], older_than: timedelta) -> int:
        """Remove the parts of uploads to `keys` that were begun that long ago and never finished.

        They cost space and no listing shows them. Returns the number of uploads.
        """
        return self._do("clean up", "", partial(self._abort_uploads, keys, older_than))

    def child(self, name: str) -> "S3Store":
        return S3Store(f"{self.uri}/{name}", self.client)

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _object(self, key: str) -> _Object:
        return {"Bucket": self.bucket, "Key": self._key(key)}

    def _size(self, key: str) -> int | None:
        try:
            return self.client.head_object(**self._object(key))["ContentLength"]
        except ClientError as error:
            if error.response["Error"]["Code"] in NOT_FOUND:
                return None
            raise

    def _abort_uploads(self, keys: Collection[str], older_than: timedelta) -> int:
        begun_before = datetime.now(UTC) - older_than
        ours = set(map(self._key, keys))
        old = [
            upload
            for upload in _uploads(self.client, self.bucket, self._key(""))
            if upload["Key"] in ours and upload["Initiated"] < begun_before
        ]
        for upload in old:
            self.client.abort_multipart_upload(
                Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
        return len(old)

    def _do(self, verb: str, key: str, request: Callable[[], Answer]) -> Answer:
        """The answer to a request, which may be repeated; boto's errors end at this one door."""
        where = f"{self.uri}/{key}".rstrip("/")
        for attempt in range(1, NUM_BODIES + 1):
            try:
                return request()
            except BROKEN_BODY as error:
                if attempt == NUM_BODIES:
                    raise StorageError(f"{where}: cannot {verb}: {_finding(error)}") from error
                time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            except (ClientError, BotoCoreError, Boto3Error, OSError) as error:
                raise StorageError(f"{where}: cannot {verb}: {_finding(error)}") from error
        raise AssertionError


def _keys(client: "S3Client", bucket: str, prefix: str) -> list[str]:
    keys = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        if "Name" not in page:  # boto takes an answer that was cut off for an empty listing
            raise ResponseParserError("the listing is cut off")
        keys += [item["Key"] for item in page.get("Contents", [])]
    return keys


def _uploads(client: "S3Client", bucket: str, prefix: str) -> list["MultipartUploadTypeDef"]:
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    try:
        return [upload for page in pages for upload in page.get("Uploads", [])]
    except client.exceptions.NoSuchUpload:  # what rclone says where there are none
        return []


def _finding(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "NoSuchBucket" in text:
        return f"the bucket does not exist ({text}); create it or correct its name"
    if any(code in text for code in ("AccessDenied", "InvalidAccessKeyId", "Signature", "403")):
        return f"the server refuses these credentials ({text}); check the AWS credentials"
    return (
        f"{text}; check the address of the server (storage.endpoint_url, or AWS_ENDPOINT_URL where "
        "there is no recipe), the network and the AWS credentials"
    )

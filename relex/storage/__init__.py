"""Objects in a folder or on S3."""

from pathlib import Path

from relex.errors import StorageError
from relex.storage.connection import S3Connection
from relex.storage.folder import FolderStore
from relex.storage.store import Readable, Store

PROBE = ".relex-write-probe"


def open_store(uri: str, connection: S3Connection | None = None) -> Store:
    """The store at a folder path or an `s3://bucket/prefix`."""
    return _open(uri, connection)


def check_writable(uri: str, connection: S3Connection | None = None) -> None:
    """Write, read back and delete a small object; raises StorageError when any of it fails."""
    store = _open(uri, connection, max_attempts=2)
    store.put(PROBE, b"relex")
    if store.get(PROBE) != b"relex":
        raise StorageError(f"{store.uri}/{PROBE}: reads back other bytes than were written")
    store.delete(PROBE)


def _open(uri: str, connection: S3Connection | None, max_attempts: int | None = None) -> Store:
    if not uri.startswith("s3://"):
        return FolderStore(Path(uri))
    # Importing boto3 takes a tenth of a second, which folders need not pay.
    from relex.storage.s3 import MAX_ATTEMPTS, S3Store, open_client

    return S3Store(uri, open_client(connection or S3Connection(), max_attempts or MAX_ATTEMPTS))

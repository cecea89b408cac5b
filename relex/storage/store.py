"""One interface over a local folder and an S3 prefix."""

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Protocol


class Readable(Protocol):
    """Objects that can be read in pieces: a store, or a cache before one."""

    uri: str

    def size(self, key: str) -> int | None:
        """Size in bytes, or None when there is no such object."""

    def read(self, key: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of an object; fewer where it ends before."""

    def read_into(self, key: str, start: int, out: memoryview) -> int:
        """As `read`, from `start` on into the bytes of `out`; returns how many there were."""


class Store(Readable, Protocol):
    """Objects below one root, addressed by relative keys with forward slashes.

    A Protocol because there are two places: a folder and S3. Every method raises StorageError,
    naming the object, when the place refuses or the object is missing.
    """

    def put(self, key: str, data: bytes) -> None:
        """Create or replace an object; a reader sees the old bytes or the new."""

    def put_file(self, key: str, path: Path) -> None:
        """Create or replace an object from a file, in bounded memory."""

    def get(self, key: str) -> bytes: ...

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object to a file, in bounded memory."""

    def list(self, prefix: str = "") -> list[str]:
        """Keys that start with `prefix`, ascending."""

    def delete(self, key: str) -> None:
        """Remove an object; removing what is not there is no error."""

    def abort_uploads(self, keys: Collection[str], older_than: timedelta) -> int:
        """Remove what killed writers of these objects left unfinished; returns how much it was."""

    def child(self, name: str) -> "Store":
        """The store rooted at `name` below this one."""

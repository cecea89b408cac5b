"""A store in a local folder."""

import os
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from relex.errors import StorageError
from relex.storage.atomic import write_atomic, writing

PARTIAL_SUFFIX = ".partial"


class FolderStore:
    """Objects are files below `root`; the folder is made on the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root)

    def put(self, key: str, data: bytes) -> None:
        write_atomic(self.root / key, data)

    def put_file(self, key: str, path: Path) -> None:
        target, partial = self.root / key, self._partial(key)
        try:
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, partial)
                with partial.open("rb") as file:
                    os.fsync(file.fileno())
                partial.replace(target)
        except StorageError:
            with suppress(OSError):
                partial.unlink()
            raise

    def get(self, key: str) -> bytes:
        try:
            return (self.root / key).read_bytes()
        except OSError as error:
            raise self._unreadable(key, error) from error

    def read(self, key: str, start: int, stop: int) -> bytes:
        try:
            with (self.root / key).open("rb") as file:
                file.seek(start)
                return file.read(stop - start)
        except OSError as error:
            raise self._unreadable(key, error) from error

    def read_into(self, key: str, start: int, out: memoryview) -> int:
        try:
            handle = os.open(f"{self.uri}/{key}", os.O_RDONLY)
            try:
                num_read = 0
                while num_read < len(out) and (
                    more := os.preadv(handle, [out[num_read:]], start + num_read)
                ):
                    num_read += more
                return num_read
            finally:
                os.close(handle)
        except OSError as error:
            raise self._unreadable(key, error) from error

    def get_file(self, key: str, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / key, path)
        except OSError as error:
            raise self._unreadable(key, error) from error

    def size(self, key: str) -> int | None:
        path = self.root / key
        try:
            return path.stat().st_size if path.is_file() else None
        except OSError as error:
            raise self._unreadable(key, error) from error

    def list(self, prefix: str = "") -> list[str]:
        # Hidden files are the unfinished ones of `put` and `put_file`.
        try:
            paths = [path for path in self.root.rglob("[!.]*") if path.is_file()]
        except OSError as error:
            raise self._unreadable(prefix, error) from error
        keys = (path.relative_to(self.root).as_posix() for path in paths)
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        try:
            (self.root / key).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self.root / key}: cannot be removed: {error}") from error

    def abort_uploads(self, keys: Collection[str], older_than: timedelta) -> int:
        unfinished = [
            path
            for path in map(self._partial, keys)
            if path.is_file() and time.time() - path.stat().st_mtime >= older_than.total_seconds()
        ]
        for path in unfinished:
            path.unlink(missing_ok=True)
        return len(unfinished)

    def child(self, name: str) -> "FolderStore":
        return FolderStore(self.root / name)

    def _partial(self, key: str) -> Path:
        path = self.root / key
        return path.with_name(f".{path.name}{PARTIAL_SUFFIX}")

    def _unreadable(self, key: str, error: OSError) -> StorageError:
        return StorageError(f"{self.root / key}: cannot be read: {error}")

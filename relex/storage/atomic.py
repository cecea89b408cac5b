"""Folders and files that are either whole or absent, and places that refuse to be written."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relex.errors import InputError, StorageError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise StorageError where the block, which writes to `path`, raises OSError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {error.strerror or error}; choose another place, or free "
            "some space"
        ) from error


def check_new(out: Path) -> None:
    """Raise InputError when `out` exists already: nothing is ever overwritten."""
    with writing(out):
        if out.exists():
            raise InputError(f"{out}: exists already; choose another folder or remove it first")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a sibling folder of `out` that is renamed to `out` on success and removed otherwise.

    Raises as `check_new`, and StorageError when the place refuses.
    """
    check_new(out)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        yield partial
        with writing(out):
            partial.chmod(0o755)
            partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that a reader sees the old bytes or the new, never a mixture.

    Raises StorageError when the place refuses.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with writing(path), os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with writing(path):
            os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

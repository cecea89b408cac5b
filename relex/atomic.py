"""Folders and files that are either whole or absent."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relex.errors import InputError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a sibling folder of `out` that is renamed to `out` on success and removed otherwise.

    Raises InputError when `out` exists already: nothing is ever overwritten.
    """
    if out.exists():
        raise InputError(f"{out}: exists already; choose another folder or remove it first")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that a reader sees the old bytes or the new, never a mixture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

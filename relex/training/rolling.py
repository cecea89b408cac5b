"""The rolling checkpoint: optimizer, scheduler, random state and weights, to resume from.

The trainer writes `checkpoint-<step>` folders piece by piece. A folder counts only with a mark that
is written after all of it is on disk and every snapshot up to its step is safe in the window; the
one before is removed only then. So at every moment of a run that was ever checkpointed, there is a
whole checkpoint, and none that is ahead of the window.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from relex.storage.atomic import write_atomic

PREFIX = "checkpoint-"
MARK = "relex-whole"


def checkpoint_step(folder: Path) -> int:
    return int(folder.name.removeprefix(PREFIX))


def newest_checkpoint(root: Path) -> Path | None:
    """The whole checkpoint of the highest step, if there is one."""
    whole = [folder for folder in _checkpoints(root) if (folder / MARK).is_file()]
    return max(whole, key=checkpoint_step, default=None)


def mark_whole(folder: Path) -> None:
    """Make the checkpoint the one to resume from, and remove all others."""
    write_atomic(folder / MARK, b"")
    remove_checkpoints(folder.parent, keep=folder)


def remove_checkpoints(root: Path, keep: Path | None = None) -> None:
    """Remove every checkpoint but `keep`, whole or not."""
    for folder in _checkpoints(root):
        if folder != keep:
            # The mark goes first: a half-removed folder must not look whole.
            (folder / MARK).unlink(missing_ok=True)
            shutil.rmtree(folder)


def _checkpoints(root: Path) -> Iterator[Path]:
    folders = sorted(root.glob(f"{PREFIX}*"))
    return (path for path in folders if path.name.removeprefix(PREFIX).isdecimal())

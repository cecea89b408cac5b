"""What several nodes of a cluster share while they train, beside the window.

The rolling checkpoint: each node gives what its processes wrote, and the mark comes last, as in
`relex.training.rolling`. And, of a model that is sharded, the parts of a snapshot that are not on
the first node.
"""

from pathlib import Path

from relex.storage import open_store
from relex.training.job import TrainingJob
from relex.training.rolling import MARK, PREFIX, remove_checkpoints


def shared_place(job: TrainingJob) -> "SharedPlace | None":
    """None for a job of one machine."""
    return SharedPlace(job) if job.shared else None


class SharedPlace:
    """Of one job, in its storage: `checkpoint-<step>/<file>`, and parts by their names."""

    def __init__(self, job: TrainingJob) -> None:
        self._store = open_store(job.shared, job.connection)
        self._checkpoints = job.checkpoints

    def take_checkpoint(self) -> None:
        """Make the local checkpoints the newest whole one that is stored, or none."""
        remove_checkpoints(self._checkpoints)
        keys = self._store.list(PREFIX)
        whole = [key.partition("/")[0] for key in keys if key.endswith(f"/{MARK}")]
        if not whole:
            return
        newest = max(whole, key=lambda name: int(name.removeprefix(PREFIX)))
        of_newest = [key for key in keys if key.startswith(f"{newest}/")]
        for key in sorted(of_newest, key=lambda key: key.endswith(f"/{MARK}")):
            self._store.get_file(key, self._checkpoints / key)

    def give_checkpoint(self, folder: Path) -> None:
        """Store what this node's processes wrote of a checkpoint."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self._store.put_file(f"{folder.name}/{path.relative_to(folder).as_posix()}", path)

    def mark_whole(self, folder: Path) -> None:
        """Make it the one to resume from, and remove all others."""
        self._store.put(f"{folder.name}/{MARK}", b"")
        self.remove_checkpoints(keep=folder.name)

    def remove_checkpoints(self, keep: str = "") -> None:
        """Remove all but one, the marks first: a half-removed one must not look whole."""
        others = [key for key in self._store.list(PREFIX) if key.partition("/")[0] != keep]
        for key in sorted(others, key=lambda key: not key.endswith(f"/{MARK}")):
            self._store.delete(key)

    def give_part(self, path: Path) -> None:
        """Move a file of the spool to where the first node takes it."""
        self._store.put_file(path.name, path)
        path.unlink()

    def take_part(self, path: Path) -> None:
        """The other side of it."""
        self._store.get_file(path.name, path)
        self._store.delete(path.name)

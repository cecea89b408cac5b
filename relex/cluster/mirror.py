"""Files that two processes exchange beside their messages, where they share no folder."""

from pathlib import Path

Files = dict[str, bytes]
"""Content by name."""


class Mirror:
    """One side of a flat folder that is there twice: what changes here is sent along."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder nothing is exchanged."""
        self._folder = folder
        self._known: dict[str, tuple[int, int]] = {}

    def changed(self) -> Files:
        """What is new here since the last call, and was not taken in."""
        if self._folder is None:
            return {}
        now = {path.name: _stamp(path) for path in self._folder.iterdir() if path.is_file()}
        names = [name for name, stamp in now.items() if self._known.get(name) != stamp]
        self._known = now
        return {name: (self._folder / name).read_bytes() for name in names}

    def take_in(self, files: Files) -> None:
        """Write what came from the other side."""
        for name, content in files.items():
            assert self._folder is not None
            path = self._folder / name
            path.write_bytes(content)
            self._known[name] = _stamp(path)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size

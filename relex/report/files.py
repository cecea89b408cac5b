"""The folder of a report or a leaderboard."""

from collections.abc import Mapping
from pathlib import Path

from relex.storage.atomic import new_folder


def write_files(out: Path, pictures: Mapping[str, bytes], texts: Mapping[str, str]) -> None:
    """Pictures and texts by file name, in the new folder `out`, which appears when it is whole."""
    with new_folder(out) as partial:
        for name, data in pictures.items():
            (partial / name).write_bytes(data)
        for name, text in texts.items():
            (partial / name).write_text(text, encoding="utf-8")

"""Verifies a stored window, as thoroughly as is asked for."""

from collections.abc import Callable

from relex.checkpoints import Checkpoint
from relex.errors import WindowError
from relex.storage import S3Connection
from relex.window.codec import block_spans
from relex.window.damage import find_damage
from relex.window.layout import step_key
from relex.window.open import open_stored_window
from relex.window.stored import StoredWindow

REPLAY_ELEMENTS = 1 << 22

OnProgress = Callable[[int, int], None]


def check_window(
    uri: str,
    connection: S3Connection | None = None,
    *,
    base: Checkpoint | None = None,
    quick: bool = False,
    on_progress: OnProgress = lambda num_done, num_total: None,
) -> int:
    """Check a stored window; returns the number of its steps.

    Always the manifest, the sizes and the headers of all files; unless `quick`, the digest of every
    file too; and with `base`, every step is replayed, which proves that it can be read.
    `on_progress` receives the files and tensors done and how many there are.

    Raises WindowError that names every damaged file with the digest expected and found, or when
    there is no stored window.
    """
    window = open_stored_window(uri, connection, base)
    num_tensors = len(window.tensors) if base else 0
    num_total = len(window.steps) + num_tensors
    if not quick:
        _check_digests(window, lambda num_done: on_progress(num_done, num_total))
    if base is not None:
        for num_done, name in enumerate(window.tensors, start=len(window.steps) + 1):
            _replay(window, name)
            on_progress(num_done, num_total)
    return len(window.steps)


def _check_digests(window: StoredWindow, on_progress: Callable[[int], None]) -> None:
    damaged = []
    for num_done, step in enumerate(window.steps, start=1):
        key = step_key(step)
        expected = window.manifest.files[key]
        found = find_damage(window.store, key, expected)
        if found is not None:
            damaged.append(f"{key}: expected sha256 {expected.sha256}, found {found.sha256}")
        on_progress(num_done)
    if damaged:
        raise WindowError(
            f"{window.where}: {len(damaged)} of {len(window.steps)} files are damaged: "
            f"{'; '.join(damaged)}; copy them again, or train from the step before"
        )


def _replay(window: StoredWindow, name: str) -> None:
    """Decode a tensor at all steps; decoding checks."""
    for span in block_spans(window.tensors[name].num_elements, REPLAY_ELEMENTS):
        for _ in window.rows(name, *span, window.steps):
            pass

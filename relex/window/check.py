"""Verifies a stored window, as thoroughly as is asked for."""

from collections.abc import Callable

from relex.checkpoints import Checkpoint
from relex.errors import WindowError
from relex.storage import S3Connection, Store
from relex.window.codec import block_spans
from relex.window.damage import find_damage
from relex.window.layout import ADAPTERS, WindowManifest
from relex.window.open import open_manifest, open_window
from relex.window.stored import StoredWindow
from relex.window.window import Window

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
    store, manifest = open_manifest(uri, connection)
    num_steps = len(manifest.steps)
    num_total = num_steps + (len(base.tensors) if base else 0)
    if base is not None or manifest.facts.precision != ADAPTERS:
        window = open_window(uri, connection, base)
    if not quick:
        _check_digests(store, manifest, lambda num_done: on_progress(num_done, num_total))
    if base is not None:
        for num_done, name in enumerate(window.tensors, start=num_steps + 1):
            _replay(window, name)
            on_progress(num_done, num_total)
    return num_steps


def _check_digests(
    store: Store, manifest: WindowManifest, on_progress: Callable[[int], None]
) -> None:
    damaged = []
    for num_done, (key, expected) in enumerate(manifest.files.items(), start=1):
        found = find_damage(store, key, expected)
        if found is not None:
            damaged.append(f"{key}: expected sha256 {expected.sha256}, found {found.sha256}")
        on_progress(num_done)
    if damaged:
        raise WindowError(
            f"{store.uri}: {len(damaged)} of {len(manifest.files)} files are damaged: "
            f"{'; '.join(damaged)}; copy them again, or train from the step before"
        )


def _replay(window: Window, name: str) -> None:
    """Decode a tensor at all steps; decoding checks."""
    for span in block_spans(window.tensors[name].num_elements, REPLAY_ELEMENTS):
        if isinstance(window, StoredWindow):
            rows = window.rows(name, *span, window.steps)
        else:
            rows = (window.read(step, name, *span) for step in window.steps)
        for _ in rows:
            pass

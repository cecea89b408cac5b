"""Removes windows, and what killed writers left beside them."""

from datetime import timedelta

from relex.config.recipe import Keep
from relex.errors import WindowError
from relex.manifest import MANIFEST
from relex.storage import Store
from relex.window.layout import STEPS_PREFIX, read_window_manifest

UNFINISHED_UPLOAD_AGE = timedelta(days=1)
"""Younger uploads may still be under way."""


def window_keys(store: Store) -> list[str]:
    """All objects of a window, the manifest first; raises WindowError when there are none."""
    manifest = [key for key in store.list(MANIFEST) if key == MANIFEST]
    keys = [*manifest, *store.list(STEPS_PREFIX)]
    if not keys:
        raise WindowError(f"{store.uri}: holds no window; check the address")
    return keys


def remove_window(store: Store) -> list[str]:
    """Remove a window and its unfinished uploads; returns the keys removed.

    The manifest goes first, so that nobody opens the rest; a removal that was interrupted can be
    repeated. Raises WindowError when there is no window.
    """
    keys = window_keys(store)
    for key in keys:
        store.delete(key)
    store.abort_uploads(timedelta(0))
    return keys


def orphans(store: Store) -> list[str]:
    """Files of steps that the manifest does not name: left by writers that were killed."""
    manifest = read_window_manifest(store)
    if manifest is None:
        raise WindowError(f"{store.uri}: holds no window; check the address")
    return sorted(set(store.list(STEPS_PREFIX)) - manifest.files.keys())


def remove_orphans(store: Store) -> tuple[list[str], int]:
    """Remove orphans and uploads that were never finished; returns keys and number of uploads.

    Not while training writes to the window: its next step is an orphan for a moment.
    """
    keys = orphans(store)
    for key in keys:
        store.delete(key)
    return keys, store.abort_uploads(UNFINISHED_UPLOAD_AGE)


def apply_retention(run: Store, keep: Keep) -> list[str]:
    """After the choice, remove what the recipe does not keep of a run's window and factors.

    Returns the keys removed, relative to the run. What is gone already is no error.
    """
    removed: list[str] = []
    if keep in ("factors", "nothing"):
        removed += _remove_folder(run, "window")
    if keep == "nothing":
        removed += _remove_folder(run, "factors")
    return removed


def _remove_folder(run: Store, name: str) -> list[str]:
    """The manifest goes first."""
    keys = sorted(run.list(f"{name}/"), key=lambda key: key != f"{name}/{MANIFEST}")
    for key in keys:
        run.delete(key)
    return keys

"""Removes windows, and what killed writers left in them: only what a manifest accounts for."""

from collections.abc import Set
from datetime import timedelta

from relex.errors import WindowError
from relex.storage import Store
from relex.storage.manifest import MANIFEST
from relex.window.layout import STEPS_PREFIX, WindowManifest, read_window_manifest

UNFINISHED_UPLOAD_AGE = timedelta(days=1)
"""Younger uploads may still be under way."""


def window_keys(store: Store) -> list[str]:
    """All objects of a window, the manifest last: the files that it names, and those of steps that
    it plans, which a killed writer left.

    Raises WindowError when there is no manifest of a window, or it is damaged.
    """
    manifest = _manifest(store)
    return [*_stored(store, manifest.planned_files), MANIFEST]


def remove_window(store: Store) -> list[str]:
    """Remove a window and its unfinished uploads; returns the keys removed.

    What is there beside stays. The manifest goes last, so that a removal that was interrupted can
    be repeated. Raises as `window_keys`.
    """
    keys, uploads = window_keys(store), _uploads(store)
    for key in keys:
        store.delete(key)
    store.abort_uploads(uploads, timedelta(0))
    return keys


def strangers(store: Store) -> list[str]:
    """Keys of what is there and not of the window; raises as `window_keys`."""
    return sorted(set(store.list()) - _manifest(store).planned_files - {MANIFEST})


def orphans(store: Store) -> list[str]:
    """Files of planned steps that the manifest does not name: left by writers that were killed.

    Raises as `window_keys`.
    """
    manifest = _manifest(store)
    return _stored(store, manifest.planned_files - manifest.files.keys())


def remove_orphans(store: Store) -> tuple[list[str], int]:
    """Remove orphans and uploads that were never finished; returns keys and number of uploads.

    Not while training writes to the window: its next step is an orphan for a moment.
    """
    keys = orphans(store)
    for key in keys:
        store.delete(key)
    return keys, store.abort_uploads(_uploads(store), UNFINISHED_UPLOAD_AGE)


def _manifest(store: Store) -> WindowManifest:
    manifest = read_window_manifest(store)
    if manifest is None:
        raise WindowError(f"{store.uri}: holds no window; check the address")
    return manifest


def _uploads(store: Store) -> set[str]:
    """Keys that a writer of the window may have begun to upload."""
    return {*_manifest(store).planned_files, MANIFEST}


def _stored(store: Store, keys: Set[str]) -> list[str]:
    return sorted(keys & set(store.list(STEPS_PREFIX)))

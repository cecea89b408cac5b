"""Verifies a stored window down to the last byte."""

from collections.abc import Callable

from relex.errors import WindowError
from relex.manifest import stored_entry
from relex.storage import S3Connection
from relex.window.layout import step_key
from relex.window.open import open_stored_window


def check_window(
    uri: str,
    connection: S3Connection | None = None,
    on_progress: Callable[[int, int], None] = lambda num_done, num_total: None,
) -> int:
    """Read every file of the window and compare its digest; returns the number of steps.

    `on_progress` receives the steps done and the steps in all. Raises WindowError that names every
    damaged file with the digest expected and found, or when there is no stored window.
    """
    window = open_stored_window(uri, connection)
    damaged = []
    for num_done, step in enumerate(window.steps, start=1):
        key = step_key(step)
        expected, found = window.manifest.files[key], stored_entry(window.store, key)
        if found != expected:
            damaged.append(f"{key}: expected sha256 {expected.sha256}, found {found.sha256}")
        on_progress(num_done, len(window.steps))
    if damaged:
        raise WindowError(
            f"{uri}: {len(damaged)} of {len(window.steps)} files are damaged: {'; '.join(damaged)}"
        )
    return len(window.steps)

"""What stays of a run beside the chosen model."""

from relex.config.storage import Keep
from relex.storage import Store
from relex.storage.manifest import remove_folder
from relex.window import read_window_manifest, remove_window


def apply_retention(run: Store, keep: Keep) -> list[str]:
    """After the choice, remove what the recipe does not keep of a run's window and factors.

    Returns the keys removed, relative to the run: those that the manifests name. What is gone
    already is no error.
    """
    removed: list[str] = []
    window, factors = run.child("window"), run.child("factors")
    if keep in ("factors", "nothing") and read_window_manifest(window) is not None:
        removed += [f"window/{key}" for key in remove_window(window)]
    if keep == "nothing":
        removed += [f"factors/{key}" for key in remove_folder(factors, "factors")]
    return removed

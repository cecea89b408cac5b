"""Opens whatever holds snapshots."""

from pathlib import Path

from relex.checkpoints import Checkpoint
from relex.errors import WindowError
from relex.storage import S3Connection, open_store
from relex.window.adapter_folder import AdapterFolder, is_adapter_folder
from relex.window.checkpoint_folder import CheckpointFolder
from relex.window.layout import read_window_manifest
from relex.window.sources import Source, open_source
from relex.window.stored import StoredWindow
from relex.window.window import Window


def open_window(
    uri: str, connection: S3Connection | None = None, base: Checkpoint | None = None
) -> Window:
    """A window that relex wrote (a folder or `s3://`), or a folder of checkpoints or adapters.

    The weights of a window that relex wrote, and of adapters, can only be read with their `base`.
    Checks sizes, headers, and that all steps hold the same tensors. Raises WindowError,
    CheckpointError or StorageError when there is nothing usable.
    """
    stored = _stored_window(uri, connection, base)
    if stored is not None:
        return stored
    if not is_adapter_folder(Path(uri)):
        return CheckpointFolder(Path(uri))
    if base is None:
        raise WindowError(f"{uri}: holds LoRA adapters; give the base that they belong to")
    return AdapterFolder(Path(uri), base)


def source_to_pack(uri: str, connection: S3Connection | None, work: Path) -> Source | None:
    """Snapshots that must become a window before they can be fitted, or None where `open_window`
    opens what is there.

    Checkpoints on S3 or on the Hub are such; `work` is where steps from the Hub lie while they are
    read. Raises as `open_source`.
    """
    if Path(uri).is_dir():
        return None
    if uri.startswith("s3://") and read_window_manifest(open_store(uri, connection)) is not None:
        return None
    return open_source(uri, connection, work)


def open_stored_window(
    uri: str, connection: S3Connection | None = None, base: Checkpoint | None = None
) -> StoredWindow:
    """As `open_window`, but raises WindowError for a plain folder of checkpoints."""
    window = _stored_window(uri, connection, base)
    if window is None:
        found = "is not a window that relex wrote" if Path(uri).is_dir() else "there is nothing"
        raise WindowError(
            f"{uri}: {found}; check the address, or make a window with relex window pack"
        )
    return window


def _stored_window(
    uri: str, connection: S3Connection | None, base: Checkpoint | None
) -> StoredWindow | None:
    store = open_store(uri, connection)
    manifest = read_window_manifest(store)
    if manifest is not None:
        return StoredWindow(store, manifest, base)
    if uri.startswith("s3://"):
        raise WindowError(f"{uri}: holds no window; check the address")
    return None

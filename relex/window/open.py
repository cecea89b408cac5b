"""Opens whatever holds snapshots."""

from pathlib import Path

from relex.checkpoints import Checkpoint
from relex.errors import WindowError
from relex.storage import S3Connection, Store, open_store
from relex.window.adapter_folder import (
    is_adapter_folder,
    open_adapter_folder,
    open_stored_adapters,
)
from relex.window.checkpoint_folder import CheckpointFolder
from relex.window.layout import ADAPTERS, WindowManifest, read_window_manifest
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
    store = open_store(uri, connection)
    manifest = _stored_manifest(store)
    if manifest is not None and manifest.facts.precision != ADAPTERS:
        return StoredWindow(store, manifest, base)
    if manifest is not None:
        return open_stored_adapters(store, manifest, _base_of_adapters(uri, base))
    if not is_adapter_folder(Path(uri)):
        return CheckpointFolder(Path(uri), base)
    return open_adapter_folder(Path(uri), _base_of_adapters(uri, base))


def source_to_pack(
    uri: str,
    connection: S3Connection | None,
    work: Path,
    *,
    step_pattern: str = "",
    allow_pickle: bool = False,
) -> Source | None:
    """Snapshots that must become a window before they can be fitted, or None where `open_window`
    opens what is there.

    Checkpoints on S3 or on the Hub are such, and those in a folder that have names of their own or
    may be pickled. The arguments are those of `open_source`, and it raises as that.
    """
    is_folder, is_own = Path(uri).is_dir(), bool(step_pattern or allow_pickle)
    if is_folder and not is_own:
        return None
    is_place = is_folder or uri.startswith("s3://")
    if is_place and read_window_manifest(open_store(uri, connection)) is not None:
        return None
    return open_source(uri, connection, work, step_pattern=step_pattern, allow_pickle=allow_pickle)


def open_manifest(uri: str, connection: S3Connection | None = None) -> tuple[Store, WindowManifest]:
    """Where a window that relex wrote is, and its manifest; raises WindowError when none is."""
    store = open_store(uri, connection)
    manifest = _stored_manifest(store)
    if manifest is None:
        found = "is not a window that relex wrote" if Path(uri).is_dir() else "there is nothing"
        raise WindowError(
            f"{uri}: {found}; check the address, or make a window with relex window pack"
        )
    return store, manifest


def open_stored_window(
    uri: str, connection: S3Connection | None = None, base: Checkpoint | None = None
) -> StoredWindow:
    """As `open_window`, but raises WindowError for a plain folder of checkpoints."""
    return StoredWindow(*open_manifest(uri, connection), base)


def _stored_manifest(store: Store) -> WindowManifest | None:
    manifest = read_window_manifest(store)
    if manifest is None and store.uri.startswith("s3://"):
        raise WindowError(f"{store.uri}: holds no window; check the address")
    return manifest


def _base_of_adapters(uri: str, base: Checkpoint | None) -> Checkpoint:
    if base is None:
        raise WindowError(f"{uri}: holds LoRA adapters; give the base that they belong to")
    return base

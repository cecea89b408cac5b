"""Every result is a folder with a manifest that is written last.

A reader accepts a folder only through its manifest; a stage whose manifest names the same inputs is
not run again.
"""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, ValidationError, field_validator

from relex.digests import sha256_file
from relex.errors import StorageError
from relex.storage import Store
from relex.storage.folder import FolderStore
from relex.strict import Strict

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
READ_BYTES = 32 << 20


class FileEntry(Strict):
    """Size in bytes and sha256 of one file."""

    size_bytes: int
    sha256: str


class Manifest(Strict):
    """What a folder holds and what it was made from."""

    schema_version: int = SCHEMA_VERSION
    """Version of the folder's format."""

    kind: str
    """What the folder is: window, factors, score, decision, model, report."""

    inputs: dict[str, str]
    """Digests of everything that determined the content."""

    files: dict[str, FileEntry]
    """The folder's files by relative name."""

    facts: dict[str, Any] = Field(default_factory=dict)
    """Small results worth reading without opening the files."""

    @field_validator("files")
    @classmethod
    def _check_names(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{name!r} lies outside the folder")
        return files


def file_entry(path: Path) -> FileEntry:
    return FileEntry(size_bytes=path.stat().st_size, sha256=sha256_file(path))


def stored_entry(store: Store, key: str) -> FileEntry:
    """Size and digest of an object as it is stored, read in bounded memory."""
    digest = hashlib.sha256()
    size_bytes = store.size(key) or 0
    for start in range(0, size_bytes, READ_BYTES):
        digest.update(store.read(key, start, min(start + READ_BYTES, size_bytes)))
    return FileEntry(size_bytes=size_bytes, sha256=digest.hexdigest())


def describe_folder(
    folder: Path, kind: str, inputs: dict[str, str], facts: dict[str, Any] | None = None
) -> Manifest:
    """The manifest of a local folder; hashes every file in it except a manifest."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    files = {path.relative_to(folder).as_posix(): file_entry(path) for path in paths}
    return Manifest(kind=kind, inputs=inputs, files=files, facts=facts or {})


def write_manifest(store: Store, manifest: Manifest) -> None:
    store.put(MANIFEST, manifest.model_dump_json(indent=1).encode())


def read_manifest(store: Store, kind: str) -> Manifest | None:
    """The folder's manifest, or None where there is none yet.

    Raises StorageError when it is damaged, of another schema version or of another kind.
    """
    # Listing, unlike asking for the object, tells a bucket that does not exist from an empty one.
    if MANIFEST not in store.list(MANIFEST):
        return None
    try:
        manifest = Manifest.model_validate_json(store.get(MANIFEST))
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{first['msg']} {'.'.join(map(str, first['loc']))}".strip()
        raise StorageError(
            f"{store.uri}: holds no {kind}: its {MANIFEST} is not a manifest of relex: {reason}"
        ) from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise StorageError(
            f"{store.uri}/{MANIFEST}: schema version {manifest.schema_version}, this relex reads "
            f"{SCHEMA_VERSION}; use the relex that wrote it"
        )
    if manifest.kind != kind:
        raise StorageError(
            f"{store.uri}: holds no {kind}: its {MANIFEST} describes a {manifest.kind}"
        )
    return manifest


def finished_manifest(store: Store, kind: str, inputs: dict[str, str]) -> Manifest | None:
    """The manifest of a stage that is done, or None when it has still to run.

    Raises StorageError, listing what differs, when the folder was made from other inputs.
    """
    manifest = read_manifest(store, kind)
    if manifest is None or manifest.inputs == inputs:
        return manifest
    names = sorted({*manifest.inputs, *inputs})
    differing = [name for name in names if manifest.inputs.get(name) != inputs.get(name)]
    raise StorageError(
        f"{store.uri}: was made from other inputs (differing: {', '.join(differing)}); "
        "remove the folder or give the run another name"
    )


def publish_folder(
    store: Store,
    folder: Path,
    kind: str,
    inputs: dict[str, str],
    facts: dict[str, Any] | None = None,
) -> Manifest:
    """Copy a local folder into `store`, every file first and the manifest last."""
    manifest = describe_folder(folder, kind, inputs, facts)
    for name in manifest.files:
        store.put_file(name, folder / name)
    write_manifest(store, manifest)
    return manifest


def fetch_folder(store: Store, folder: Path, kind: str) -> Manifest:
    """Copy a finished folder out of `store`, its manifest last, and check every size and digest.

    Raises StorageError when there is no manifest, or a file is missing or damaged.
    """
    manifest = read_manifest(store, kind)
    if manifest is None:
        raise StorageError(f"{store.uri}: has no {MANIFEST}, so it is not a finished {kind}")
    for name, expected in manifest.files.items():
        store.get_file(name, folder / name)
        found = file_entry(folder / name)
        if found != expected:
            raise StorageError(
                f"{store.uri}/{name}: damaged: expected {expected.size_bytes} bytes with sha256 "
                f"{expected.sha256}, found {found.size_bytes} bytes with {found.sha256}"
            )
    write_manifest(FolderStore(folder), manifest)
    return manifest


def remove_folder(store: Store, kind: str) -> list[str]:
    """Remove the files that a finished folder's manifest names, and last the manifest.

    Returns the keys removed, none where there is no manifest; what else is there stays. Raises
    StorageError as `read_manifest`.
    """
    manifest = read_manifest(store, kind)
    keys = [] if manifest is None else [*manifest.files, MANIFEST]
    for key in keys:
        store.delete(key)
    return keys

"""Adds steps to a window while training goes on, so that a kill at any moment loses none.

A step's file is stored first, its entry in the manifest second: readers see only what is safe.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from relex.checkpoints.tensor_file import open_tensor_file
from relex.config.training import WeightDtype
from relex.errors import StorageError, UploadError, WindowError
from relex.manifest import FileEntry, file_entry, write_manifest
from relex.storage import Store
from relex.window.layout import (
    BASE_INPUT,
    WindowFacts,
    WindowManifest,
    read_window_manifest,
    step_key,
)


class WindowWriter:
    """The one writer of a window; made by `open_writer`."""

    def __init__(self, store: Store, manifest: WindowManifest) -> None:
        self._store, self._manifest = store, manifest

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps whose bytes are safe, ascending."""
        return self._manifest.facts.steps

    @property
    def missing_steps(self) -> tuple[int, ...]:
        """Planned steps that are not safe yet, ascending."""
        return self._manifest.facts.planned_steps[len(self.steps) :]

    @property
    def complete(self) -> bool:
        """Whether `finish` was called after the last step."""
        return self._manifest.facts.complete

    def append(self, step: int, path: Path) -> None:
        """Store the safetensors file of `step`, then make the step visible.

        The step is safe when this returns; after an UploadError the call may be repeated.
        Raises WindowError when `step` is not the next planned one, the file holds another dtype, or
        another writer has opened the window; UploadError when the bytes cannot be stored.
        """
        self._check_next(step)
        self._check_dtype(path)
        key, entry = step_key(step), file_entry(path)
        with self._changing():
            self._store.put_file(key, path)
            self._check_stored(key, entry)
        self._write(files={**self._manifest.files, key: entry}, complete=False)

    def drop_after(self, step: int) -> None:
        """Remove the steps beyond `step`, so that training can be resumed there."""
        kept = {step_key(safe) for safe in self.steps if safe <= step}
        dropped = self._manifest.files.keys() - kept
        if not dropped:
            return
        files = {key: entry for key, entry in self._manifest.files.items() if key in kept}
        self._write(files, complete=False)
        with self._changing():
            for key in sorted(dropped):
                self._store.delete(key)

    def finish(self) -> None:
        """Mark the window as complete; raises WindowError when planned steps are missing."""
        if self.missing_steps:
            raise WindowError(
                f"{self._store.uri}: cannot be complete without step {self.missing_steps[0]}; "
                f"it holds {len(self.steps)} of {len(self._manifest.facts.planned_steps)} steps"
            )
        self._write(self._manifest.files, complete=True)

    def _write(self, files: dict[str, FileEntry], complete: bool) -> None:
        steps = tuple(s for s in self._manifest.facts.planned_steps if step_key(s) in files)
        facts = self._manifest.facts.model_copy(update={"steps": steps, "complete": complete})
        manifest = replace(self._manifest, facts=facts, files=files)
        with self._changing():
            write_manifest(self._store, manifest.pack())
        self._manifest = manifest

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Refuse to change a window that another writer opened after this one.

        S3 stores without conditional writes offer no lock: two writers within the milliseconds
        between this check and the change are not seen here, but by the digests.
        """
        try:
            stored = read_window_manifest(self._store)
            if stored is None or stored.facts.writer != self._manifest.facts.writer:
                raise WindowError(
                    f"{self._store.uri}: another writer has opened this window since; "
                    "let only one training run write to it"
                )
            yield
        except StorageError as error:
            raise UploadError(f"the window could not be written: {error}") from error

    def _check_next(self, step: int) -> None:
        where = self._store.uri
        if step in self.steps:
            raise WindowError(f"{where}: step {step} is already safe; drop_after it to replace it")
        if not self.missing_steps or step != self.missing_steps[0]:
            expected = self.missing_steps[0] if self.missing_steps else "none, it holds them all"
            raise WindowError(f"{where}: cannot take step {step}; the next one is {expected}")

    def _check_dtype(self, path: Path) -> None:
        for name, info in open_tensor_file(path).tensors.items():
            found = str(info.dtype).removeprefix("torch.")
            if info.dtype.is_floating_point and found != self._manifest.facts.dtype:
                raise WindowError(
                    f"{path}: {name} is {found}, the window keeps {self._manifest.facts.dtype}"
                )

    def _check_stored(self, key: str, entry: FileEntry) -> None:
        stored_bytes = self._store.size(key)
        if stored_bytes != entry.size_bytes:
            raise UploadError(
                f"{self._store.uri}/{key}: holds {stored_bytes} bytes after an upload of "
                f"{entry.size_bytes}; something else writes there, or the server loses data"
            )


def open_writer(
    store: Store, base_digest: str, dtype: WeightDtype, planned_steps: Sequence[int]
) -> WindowWriter:
    """Begin a window, or continue the one in `store` after its last safe step.

    Raises WindowError when the window there is of another base, dtype or plan, StorageError when
    the place cannot be read, UploadError when it cannot be written.
    """
    new = WindowManifest(
        base_digest=base_digest,
        facts=WindowFacts(
            dtype=dtype,
            planned_steps=tuple(planned_steps),
            steps=(),
            complete=False,
            writer=uuid.uuid4().hex,
        ),
        files={},
    )
    found = read_window_manifest(store)
    manifest = new if found is None else _continued(store, found, new)
    try:
        write_manifest(store, manifest.pack())
    except StorageError as error:
        raise UploadError(f"the window could not be written: {error}") from error
    return WindowWriter(store, manifest)


def _continued(store: Store, found: WindowManifest, new: WindowManifest) -> WindowManifest:
    expected = _identity(new)
    for name, value in _identity(found).items():
        if value != expected[name]:
            raise WindowError(
                f"{store.uri}: holds a window of another {name} ({value}, expected "
                f"{expected[name]}); remove it or give the run another name"
            )
    return replace(found, facts=found.facts.model_copy(update={"writer": new.facts.writer}))


def _identity(manifest: WindowManifest) -> dict[str, object]:
    return {
        BASE_INPUT: manifest.base_digest,
        "dtype": manifest.facts.dtype,
        "plan of steps": manifest.facts.planned_steps,
    }

"""Adds steps to a window while training goes on, so that a kill at any moment loses none.

A step's file is stored first and read back, its entry in the manifest is made second: readers see
only what is safe.
"""

import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from relex.checkpoints import Checkpoint, check_same_tensors
from relex.digests import sha256_file
from relex.errors import StorageError, UploadError, WindowError
from relex.storage import Store
from relex.storage.manifest import FileEntry, file_entry
from relex.window.codec import Snapshot, write_delta
from relex.window.damage import find_damage
from relex.window.fingerprints import FingerprintedSnapshot
from relex.window.layout import (
    BASE_INPUT,
    STEPS_PREFIX,
    Kept,
    StepFile,
    WindowFacts,
    WindowManifest,
    read_window_manifest,
    step_key,
    write_window_manifest,
)
from relex.window.precision import patterns_of_base, patterns_of_step
from relex.window.replay import Replay
from relex.window.same_tensors import check_weights

NUM_UPLOADS = 3
DEFAULT_ANCHOR_EVERY_STEPS = 100


class WindowWriter:
    """The one writer of a window; made by `open_writer`."""

    def __init__(
        self, store: Store, manifest: WindowManifest, base: Checkpoint, work: Path | None
    ) -> None:
        self._store, self._manifest, self._base, self._work = store, manifest, base, work
        self._last: Snapshot | None = None

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps whose bytes are safe, ascending."""
        return self._manifest.steps

    @property
    def missing_steps(self) -> tuple[int, ...]:
        """Planned steps that are not safe yet, ascending."""
        return self._manifest.facts.planned_steps[len(self.steps) :]

    @property
    def complete(self) -> bool:
        """Whether `finish` was called after the last step."""
        return self._manifest.facts.complete

    def append(self, step: int, snapshot: Snapshot) -> int:
        """Store what changed since the step before, then make the step visible.

        Returns the bytes stored. The step is safe when this returns; after an UploadError the call
        may be repeated. `snapshot` must stay readable, and as it is, until the next call has
        returned, because the next step is encoded against it.

        Raises WindowError when `step` is not the next planned one, the snapshot has other tensors
        than the steps before, or another writer has opened the window; UploadError when the bytes
        cannot be stored.
        """
        self._check_next(step)
        self._check_tensors(step, snapshot)
        taken = FingerprintedSnapshot(snapshot, step)
        previous, key = self._patterns_of_last_step(), step_key(step)
        patterns = patterns_of_step(
            self._manifest.facts.precision, taken, self._base, step, previous
        )
        with tempfile.TemporaryDirectory(prefix="relex-step-", dir=self._work) as folder:
            path = Path(folder) / Path(key).name
            against = None
            if not self._is_anchor_next():
                against = previous or self._patterns_of_base(patterns)
            write_delta(path, patterns, against)
            size_bytes = self._make_safe(self._describe(step, taken.digest()), path)
        self._last = patterns
        return size_bytes

    def append_adapter(self, step: int, path: Path) -> int:
        """As `append`, for the adapter in a file, which is stored as it is."""
        self._check_next(step)
        file = StepFile(step=step, kind="anchor", previous=None, snapshot_digest=sha256_file(path))
        return self._make_safe(file, path)

    def drop_after(self, step: int) -> None:
        """Remove the steps beyond `step`, so that training can be resumed there."""
        kept = tuple(file for file in self._manifest.facts.steps if file.step <= step)
        dropped = self._manifest.files.keys() - {file.key for file in kept}
        if not dropped:
            return
        files = {file.key: self._manifest.files[file.key] for file in kept}
        self._write(kept, files, complete=False)
        self._last = None
        with self._changing():
            for key in sorted(dropped):
                self._store.delete(key)

    def finish(self, *, early: bool = False) -> None:
        """Mark the window as complete; raises WindowError when planned steps are missing, unless
        it may end `early`, and then those that are there are its plan."""
        if early and self.steps:
            facts = self._manifest.facts.model_copy(update={"planned_steps": self.steps})
            self._manifest = replace(self._manifest, facts=facts)
        if self.missing_steps:
            raise WindowError(
                f"{self._store.uri}: cannot be complete without step {self.missing_steps[0]}; "
                f"it holds {len(self.steps)} of {len(self._manifest.facts.planned_steps)} steps"
            )
        self._write(self._manifest.facts.steps, self._manifest.files, complete=True)

    def _patterns_of_last_step(self) -> Snapshot | None:
        """As they were appended, or as they are stored where another writer appended them."""
        if self._last is None and self.steps:
            self._last = Replay(self._store, self._manifest, self._base).at(self.steps[-1])
        return self._last

    def _patterns_of_base(self, patterns: Snapshot) -> Snapshot:
        return patterns_of_base(self._manifest.facts.precision, self._base, patterns.tensors)

    def _is_anchor_next(self) -> bool:
        return (len(self.steps) + 1) % self._manifest.facts.anchor_every_steps == 0

    def _describe(self, step: int, snapshot_digest: str) -> StepFile:
        previous = self.steps[-1] if self.steps else 0
        return StepFile(
            step=step,
            kind="anchor" if self._is_anchor_next() else "delta",
            previous=None if self._is_anchor_next() else previous,
            snapshot_digest=snapshot_digest,
        )

    def _make_safe(self, file: StepFile, path: Path) -> int:
        """Store a step's file, then make the step visible."""
        entry = file_entry(path)
        with self._changing():
            self._store_file(file.key, path, entry)
        files = {**self._manifest.files, file.key: entry}
        self._write((*self._manifest.facts.steps, file), files, complete=False)
        return entry.size_bytes

    def _store_file(self, key: str, path: Path, entry: FileEntry) -> None:
        """Upload and read back: a network may drop or change bytes and a server acknowledge them.

        A delta is small, so this costs little.
        """
        found: FileEntry | None = entry
        for _ in range(NUM_UPLOADS):
            self._store.put_file(key, path)
            found = find_damage(self._store, key, entry)
            if found is None:
                return
        assert found is not None
        raise UploadError(
            f"{self._store.uri}/{key}: reads back as {found.size_bytes} bytes with sha256 "
            f"{found.sha256} after an upload of {entry.size_bytes} bytes with {entry.sha256}; "
            "something else writes there, or the server loses data"
        )

    def _write(
        self, steps: tuple[StepFile, ...], files: dict[str, FileEntry], complete: bool
    ) -> None:
        facts = self._manifest.facts.model_copy(update={"steps": steps, "complete": complete})
        manifest = replace(self._manifest, facts=facts, files=files)
        with self._changing():
            write_window_manifest(self._store, manifest)
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

    def _check_tensors(self, step: int, snapshot: Snapshot) -> None:
        check_same_tensors(f"step {step}", snapshot.tensors, self._base.tensors)


def open_writer(
    store: Store,
    base: Checkpoint,
    precision: Kept,
    planned_steps: Sequence[int],
    anchor_every_steps: int = DEFAULT_ANCHOR_EVERY_STEPS,
    work: Path | None = None,
    check_found: Callable[[WindowManifest], None] = lambda found: None,
) -> WindowWriter:
    """Begin a window, or continue the one in `store` after its last safe step.

    A step's file is made in the folder `work`, by default in the system's for temporary files; it
    needs room for a whole snapshot where steps are stored whole. `check_found` may refuse to
    continue the window that is there, which is then left as it is.

    Raises WindowError when the base is quantised, the window there is of another base, precision or
    plan, or files are there that are of no window; StorageError when the place cannot be read or
    written.
    """
    check_weights(str(base.folder), base.tensors)
    new = WindowManifest(
        base_digest=base.digest(),
        facts=WindowFacts(
            precision=precision,
            anchor_every_steps=anchor_every_steps,
            planned_steps=tuple(planned_steps),
            steps=(),
            complete=False,
            writer=uuid.uuid4().hex,
        ),
        files={},
    )
    found = read_window_manifest(store)
    if found is None:
        _check_free(store, planned_steps)
        manifest = new
    else:
        manifest = _continued(store, found, new)
        check_found(found)
    write_window_manifest(store, manifest)
    return WindowWriter(store, manifest, base, work)


def _check_free(store: Store, planned_steps: Sequence[int]) -> None:
    """A window's manifest is written first and removed last, so without it no file is ours."""
    taken = {step_key(step) for step in planned_steps} & set(store.list(STEPS_PREFIX))
    if taken:
        raise WindowError(
            f"{store.uri}: holds no window, but {min(taken)}, which would be written over; choose "
            "another place, or move it away"
        )


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
        "precision": manifest.facts.precision,
        "plan of steps": manifest.facts.planned_steps,
    }

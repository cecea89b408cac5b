"""Checkpoints become a window, one step at a time."""

from collections.abc import Callable
from pathlib import Path

import torch

from relex.checkpoints import Checkpoint
from relex.errors import WindowError
from relex.storage import Store
from relex.window.codec import Snapshot
from relex.window.fingerprints import FingerprintedSnapshot
from relex.window.layout import Precision, WindowManifest
from relex.window.matching import Matcher
from relex.window.precision import hidden_in_rounding
from relex.window.same_tensors import same_tensors
from relex.window.sources import Source
from relex.window.writer import DEFAULT_ANCHOR_EVERY_STEPS, open_writer

OnProgress = Callable[[int, int], None]
OnNote = Callable[[str], None]
ROUNDED = (
    "its weights are in a dtype that cannot hold the base's, so displacements hold the base's "
    "rounding beside what was trained; let the trainer save, or pack keep, as many bits as the base"
)


def pack(
    source: Source,
    base: Checkpoint,
    store: Store,
    *,
    precision: Precision = "exact",
    anchor_every_steps: int = DEFAULT_ANCHOR_EVERY_STEPS,
    work: Path | None = None,
    on_progress: OnProgress = lambda num_done, num_total: None,
    on_note: OnNote = lambda text: None,
) -> tuple[int, ...]:
    """Write the window of all steps of `source` to `store`; returns the steps.

    A window that was begun is continued, after all of its steps were compared with those of
    `source`; where one is another, it is left as it is. At most two checkpoints are open, and none
    is held in memory: blocks of it are. A step's file is made in the folder `work`. `on_progress`
    receives the steps done and the steps in all, `on_note` what of a snapshot was taken for
    what of the base.

    Raises WindowError or CheckpointError when the checkpoints do not go together or with `base`, or
    a window of something else is there; StorageError when the place cannot be read or written,
    UploadError when a step cannot be stored.
    """
    matched = _Matched(source, base, precision, on_note)
    writer = open_writer(
        store,
        base,
        precision,
        source.steps,
        anchor_every_steps,
        work,
        check_found=lambda found: _check_made_of(store, found, matched),
    )
    previous_step = None
    for step in writer.missing_steps:
        on_progress(len(writer.steps), len(source.steps))
        writer.append(step, matched.open(step))
        if previous_step is not None:
            source.release(previous_step)
        previous_step = step
    if previous_step is not None:
        source.release(previous_step)
    if not writer.complete:
        writer.finish()
    on_progress(len(writer.steps), len(source.steps))
    return writer.steps


class _Matched:
    """Snapshots of a source in the base's names."""

    def __init__(
        self, source: Source, base: Checkpoint, precision: Precision, on_note: OnNote
    ) -> None:
        self.where, self._source, self._on_note = source.where, source, on_note
        self._base, self._precision, self._matcher = base, precision, Matcher(base)

    def open(self, step: int) -> Snapshot:
        notes = self._matcher.notes
        num_known = len(notes)
        where = f"{self.where}: step {step}"
        snapshot = self._matcher.match(where, self._source.open(step))
        same_tensors(self.where, {step: snapshot.tensors})
        if self._rounds(snapshot) and ROUNDED not in notes:
            notes.append(ROUNDED)
        for note in notes[num_known:]:
            self._on_note(f"{where}: {note}")
        return snapshot

    def release(self, step: int) -> None:
        self._source.release(step)

    def _rounds(self, snapshot: Snapshot) -> bool:
        dtypes = {it.dtype for it in snapshot.tensors.values() if it.dtype.is_floating_point}
        if self._precision == "bfloat16":
            dtypes = {torch.bfloat16}
        return any(hidden_in_rounding(self._base, dtype) for dtype in dtypes)


def _check_made_of(store: Store, found: WindowManifest, source: _Matched) -> None:
    for file in found.facts.steps:
        digest = FingerprintedSnapshot(source.open(file.step), file.step).digest()
        source.release(file.step)
        if digest != file.snapshot_digest:
            raise WindowError(
                f"{store.uri}: holds a window whose step {file.step} was made of another snapshot "
                f"than that of {source.where}; remove it (relex window rm) or choose another place"
            )

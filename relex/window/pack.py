"""Checkpoints become a window, one step at a time."""

from collections.abc import Callable
from pathlib import Path

from relex.checkpoints import Checkpoint
from relex.errors import WindowError
from relex.storage import Store
from relex.window.fingerprints import FingerprintedSnapshot
from relex.window.layout import Precision, WindowManifest
from relex.window.same_tensors import same_tensors
from relex.window.sources import Source
from relex.window.writer import DEFAULT_ANCHOR_EVERY_STEPS, open_writer

OnProgress = Callable[[int, int], None]


def pack(
    source: Source,
    base: Checkpoint,
    store: Store,
    *,
    precision: Precision = "exact",
    anchor_every_steps: int = DEFAULT_ANCHOR_EVERY_STEPS,
    work: Path | None = None,
    on_progress: OnProgress = lambda num_done, num_total: None,
) -> tuple[int, ...]:
    """Write the window of all steps of `source` to `store`; returns the steps.

    A window that was begun is continued, after all of its steps were compared with those of
    `source`; where one is another, it is left as it is. At most two checkpoints are open, and none
    is held in memory: blocks of it are. A step's file is made in the folder `work`. `on_progress`
    receives the steps done and the steps in all.

    Raises WindowError or CheckpointError when the checkpoints do not go together or with `base`, or
    a window of something else is there; StorageError when the place cannot be read or written,
    UploadError when a step cannot be stored.
    """
    writer = open_writer(
        store,
        base,
        precision,
        source.steps,
        anchor_every_steps,
        work,
        check_found=lambda found: _check_made_of(store, found, source),
    )
    previous_step = None
    for step in writer.missing_steps:
        on_progress(len(writer.steps), len(source.steps))
        snapshot = source.open(step)
        same_tensors(source.where, {step: snapshot.tensors})
        writer.append(step, snapshot)
        if previous_step is not None:
            source.release(previous_step)
        previous_step = step
    if previous_step is not None:
        source.release(previous_step)
    if not writer.complete:
        writer.finish()
    on_progress(len(writer.steps), len(source.steps))
    return writer.steps


def _check_made_of(store: Store, found: WindowManifest, source: Source) -> None:
    for file in found.facts.steps:
        digest = FingerprintedSnapshot(source.open(file.step), file.step).digest()
        source.release(file.step)
        if digest != file.snapshot_digest:
            raise WindowError(
                f"{store.uri}: holds a window whose step {file.step} was made of another snapshot "
                f"than that of {source.where}; remove it (relex window rm) or choose another place"
            )

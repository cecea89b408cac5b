"""How a trainer fills the window of its job."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relex.checkpoints import Checkpoint
from relex.storage import open_store
from relex.training.job import TrainingJob
from relex.training.snapshots import SnapshotSpool, snapshot_schema
from relex.window import WindowWriter, open_writer


def open_job_window(job: TrainingJob) -> WindowWriter:
    """The window, which may hold the first of its steps already."""
    config = job.recipe.training
    return open_writer(
        open_store(job.window, job.connection),
        Checkpoint(Path(job.base)),
        config.snapshot_dtype,
        config.kept_steps,
        config.anchor_every_steps,
        work=job.spool,
    )


@contextmanager
def filling(job: TrainingJob, writer: WindowWriter | None = None) -> Iterator[SnapshotSpool]:
    """The spool that takes the snapshots; after the block the window is complete.

    `keep(step, state)` takes each of the recipe's `training.kept_steps` once, in their order, with
    the weights by the base's names. Without a `writer` the window is emptied first: training starts
    at its first step. Only one process may do so, and only one at a time.

    Raises WindowError when steps are missing after the block, and as `SnapshotSpool.keep`.
    """
    if writer is None:
        writer = open_job_window(job)
        writer.drop_after(0)
    config = job.recipe.training
    schema = snapshot_schema(Checkpoint(Path(job.base)), config.snapshot_dtype)
    spool = SnapshotSpool(job.spool, schema, writer)
    yield spool
    spool.wait()
    writer.finish()
    shutil.rmtree(job.spool)

"""How a trainer fills the window of its job."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relex.checkpoints import Checkpoint
from relex.errors import TrainingError
from relex.storage import open_store
from relex.training.adapter import Adapter
from relex.training.job import TrainingJob
from relex.training.snapshots import SnapshotSpool, kept_dtype, snapshot_schema
from relex.window import WindowWriter, open_writer
from relex.window.layout import ADAPTERS


def open_job_window(job: TrainingJob) -> WindowWriter:
    """The window, which may hold the first of its steps already."""
    config, base = job.recipe.training, Checkpoint(Path(job.base))
    return open_writer(
        open_store(job.window, job.connection),
        base,
        kept_dtype(config.snapshot_dtype, base) if config.lora is None else ADAPTERS,
        config.kept_steps,
        config.anchor_every_steps,
        work=job.spool,
    )


@contextmanager
def filling(
    job: TrainingJob, writer: WindowWriter | None = None, adapter: Adapter | None = None
) -> Iterator[SnapshotSpool]:
    """The spool that takes the snapshots; after the block the window is complete.

    `keep(step, state)` takes each of the recipe's `training.kept_steps` once, in their order, with
    the weights by the base's names; where the recipe has `training.lora`, those of the `adapter`.
    With `training.steps: auto` it may end before the last of them.
    Without a `writer` the window is emptied first: training starts at its first step. Only one
    process may do so, and only one at a time.

    Raises TrainingError when there is no adapter and the recipe trains one, WindowError when it
    does not fit the base, or steps are missing after the block, and as `SnapshotSpool.keep`.
    """
    config, base = job.recipe.training, Checkpoint(Path(job.base))
    if (adapter is None) != (config.lora is None):
        raise TrainingError("training.lora: the trainer has to give an adapter, and only with it")
    if writer is None:
        writer = open_job_window(job)
        writer.drop_after(0)
    if adapter is None:
        schema = snapshot_schema(base, config.snapshot_dtype)
        spool = SnapshotSpool(job.spool, schema, writer)
    else:
        adapter.check(base)
        spool = SnapshotSpool(job.spool, adapter.schema, writer, adapter.config)
    yield spool
    spool.wait()
    writer.finish(early=config.steps == "auto")
    shutil.rmtree(job.spool)

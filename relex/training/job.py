"""All that a training process is told."""

from pathlib import Path

from relex.checkpoints import base_here, check_digest
from relex.config.recipe import Recipe
from relex.home import make_home, own_folder
from relex.storage import S3Connection
from relex.strict import Strict

MOMENTS = "moments"
"""Kind of the folder with Adam's moments at the end of a training."""


class TrainingJob(Strict):
    """One run, from its recipe to its window; handed to the child as a file without secrets."""

    recipe: Recipe
    """The run's recipe."""

    base: str
    """Folder of the base checkpoint; on another machine `toy`, a folder there or
    `NAME@REVISION`."""

    base_digest: str = ""
    """What another machine must find there; without, training is on this one."""

    shared: str = ""
    """Where several machines share the rolling checkpoint: a folder or `s3://bucket/prefix`."""

    window: str
    """Where the window goes: a folder or `s3://bucket/prefix`."""

    connection: S3Connection = S3Connection()
    """How to reach S3."""

    work: str = ""
    """Local folder for spooled snapshots and the rolling checkpoint. A run that died is resumed
    from it, so it must be kept until the run is done."""

    def here(self) -> "TrainingJob":
        """The job of another machine, as this one works on it.

        Raises CheckpointError when there is another base than that machine's, or none.
        """
        base = base_here(self.base, self.recipe.base.trust_remote_code)
        check_digest(base, self.base_digest)
        work = own_folder(make_home().node / "training")
        return self.model_copy(update={"base": str(base), "work": str(work)})

    moments: str = ""
    """Where the moments are that the optimizer starts from; without, it starts from none."""

    reset: str | None = None
    """The part whose tensors start without moments all the same; empty for all."""

    keep_moments: str = ""
    """Where the moments of the last step go, for the next round."""

    @property
    def file(self) -> Path:
        """The job itself, for the child."""
        return Path(self.work) / "job.json"

    @property
    def spool(self) -> Path:
        """Snapshots that wait for upload."""
        return Path(self.work) / "spool"

    @property
    def checkpoints(self) -> Path:
        """The rolling checkpoint."""
        return Path(self.work) / "checkpoints"

"""All that a training process is told."""

from pathlib import Path

from relex.config.recipe import Recipe
from relex.storage import S3Connection
from relex.strict import Strict


class TrainingJob(Strict):
    """One run, from its recipe to its window; handed to the child as a file without secrets."""

    recipe: Recipe
    """The run's recipe."""

    base: str
    """Folder of the base checkpoint."""

    window: str
    """Where the window goes: a folder or `s3://bucket/prefix`."""

    connection: S3Connection = S3Connection()
    """How to reach S3."""

    work: str
    """Local folder for spooled snapshots and the rolling checkpoint. A run that died is resumed
    from it, so it must be kept until the run is done."""

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

"""The local folder in which relex keeps what has no better place: `$RELEX_HOME`, or `.relex`."""

import os
from dataclasses import dataclass
from pathlib import Path

from relex.errors import ResourceError
from relex.visible import visible

VARIABLE = "RELEX_HOME"
NOT_IN_ADDRESSES = {"?", "%"}
"""A question begins the settings of a database, and %20 is read as a space."""


@dataclass(frozen=True)
class Home:
    """Places below the root, none of which is created by looking at it."""

    root: Path

    @property
    def s3(self) -> Path:
        """Objects of the embedded S3 server, as plain files, one folder per bucket."""
        return self.root / "s3"

    @property
    def mlflow_database(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.root / "mlflow-artifacts"

    @property
    def prefect(self) -> Path:
        """PREFECT_HOME of the embedded server, with its database."""
        return self.root / "prefect"

    def work(self, run_id: str) -> Path:
        """Scratch folder of one run: spool, rolling checkpoint, factors."""
        return self.root / "work" / run_id

    @property
    def records(self) -> Path:
        """Notes of the MLflow records that processes have begun and not ended."""
        return self.root / "records"

    def record(self, run_id: str) -> Path:
        """The note of one run."""
        return self.records / f"{run_id}.json"

    def lock(self, name: str) -> Path:
        """File whose lock a process holds while it works on a run, or on something else that only
        one may do at a time."""
        return self.root / "locks" / f"{name}.lock"


def open_home() -> Home:
    """Raises ResourceError for a folder that the address of a database cannot name."""
    root = Path(os.environ.get(VARIABLE, "").strip() or ".relex").resolve()
    unfit = sorted(NOT_IN_ADDRESSES & set(str(root)))
    if unfit:
        raise ResourceError(
            f"{VARIABLE} {visible(str(root))}: holds {' and '.join(unfit)}, which means something "
            "else in the addresses of databases; choose a folder without"
        )
    return Home(root)

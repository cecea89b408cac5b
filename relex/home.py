"""The local folder in which relex keeps what has no better place: `$RELEX_HOME`, or `.relex`.

It may be any folder, also one that holds other things. One that relex made, or found empty, has a
mark; only there can relex tell what is its own, and remove it.
"""

import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from relex.errors import ResourceError, StorageError
from relex.storage.atomic import writing
from relex.visible import visible

MARK = ".made-by-relex"
MADE = (
    *("s3/relex/runs", "s3/relex/sweeps", "s3.credentials", "work", "records", "locks", "reports"),
    *("mlflow.db", "mlflow-artifacts", "mlflow.log", "prefect", "prefect.log"),
    *("service", "service.json", "node"),
)
"""What relex makes there; beside it, the bucket may hold what its users have put there."""

VARIABLE = "RELEX_HOME"
S3 = "s3://"
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
    def node(self) -> Path:
        """What children of a cluster exchange and keep on this machine."""
        return self.root / "node"

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


def in_home(address: str) -> str:
    """The folder in which the home's own S3 server keeps `s3://bucket/prefix`; any other address,
    and one of a bucket that the home does not have, as it is."""
    bucket, _, prefix = address.removeprefix(S3).partition("/")
    folder = open_home().s3 / bucket
    return str(folder / prefix) if address.startswith(S3) and folder.is_dir() else address


def make_home() -> Home:
    """As `open_home`, for who will write there; marked where it is new or empty.

    Raises StorageError when it cannot be written.
    """
    home = open_home()
    with writing(home.root):
        home.root.mkdir(parents=True, exist_ok=True)
        if not any(home.root.iterdir()):
            (home.root / MARK).touch()
    if not os.access(home.root, os.W_OK):
        raise StorageError(
            f"{home.root}: cannot be written; set RELEX_HOME to a folder that can be"
        )
    return home


def free_bytes(place: Path) -> int:
    """Of the disk on which a folder is, or will be."""
    existing = next(path for path in (place, *place.parents) if path.exists())
    return shutil.disk_usage(existing).free


def own_folder(place: Path) -> Path:
    """A new folder of this process, below a place that processes of other machines may share.

    Those of processes that have ended are removed, or what is left of killed ones would add up.
    """
    here = place / socket.gethostname()
    for folder in here.glob("*"):
        if not psutil.pid_exists(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
    own = here / str(os.getpid())
    with writing(own):
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
    return own


def clear_home(home: Home) -> list[Path]:
    """Remove what relex made in a marked home, and folders that are empty then; returns what is
    left. Raises StorageError, and removes nothing, where there is no mark.
    """
    if not home.root.exists():
        return []
    if not (home.root / MARK).is_file():
        raise StorageError(
            f"{home.root}: was not made by relex, so nothing there was removed; remove by hand "
            "what you do not need"
        )
    with writing(home.root):
        for name in MADE:
            _remove(home.root / name)
        left = sorted(
            path for path in home.root.rglob("*") if not path.is_dir() and path.name != MARK
        )
        if not left:
            shutil.rmtree(home.root)
    return left


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

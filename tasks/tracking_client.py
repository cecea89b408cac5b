"""The way to an MLflow server or database, the door at which its errors become ours, and the end of
records that killed processes have left.

Each process notes in its home which record it has begun, and takes the note away when it has ended
the record. A note on a run that no process works on any more is that of one that was killed: the
worker finds it, in the hooks that Prefect calls for a run that was cancelled or crashed, and where
the worker died too, the next run that starts in that home.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from sqlalchemy.exc import SQLAlchemyError

from relex.claim import claimed_here
from relex.config.addresses import check_addresses
from relex.errors import ClaimError, TrackingError
from relex.home import Home, open_home
from relex.storage.atomic import write_atomic

CHECK_SECONDS = 5
SERVICE_VARIABLE = "MLFLOW_TRACKING_URI"
"""MLflow's own variable for the server; what a recipe or an option names goes before it."""
SQLITE = "sqlite:///"
RUN_TAG = "relex.run_id"


def tracking_uri(stated: str, home: Home) -> str:
    """The address as a recipe states it, that of the environment, or the database in `home`.

    Raises InputError where it holds a password.
    """
    uri = stated or os.environ.get(SERVICE_VARIABLE) or home_uri(home)
    check_addresses({"tracking": uri})
    return uri


def home_uri(home: Home) -> str:
    """The database in `home`."""
    return f"{SQLITE}{home.mlflow_database}"


def open_client(uri: str) -> MlflowClient:
    """Raises TrackingError when a server does not answer."""
    if uri.startswith("http"):
        _check_answers(uri)
    with mlflow_errors(uri):
        return MlflowClient(uri, uri)


def open_existing(uri: str) -> MlflowClient:
    """As `open_client`, to read what is there: a database that does not exist is no empty one."""
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():
        raise TrackingError(
            f"{uri}: there is no such database; give the address of the MLflow server that "
            "recorded the run (--tracking), or set RELEX_HOME to the home of the run"
        )
    return open_client(uri)


@contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """Translate MLflow's errors at this one door."""
    try:
        yield
    except MlflowException as error:
        raise TrackingError(f"MLflow at {uri}: {error.message}") from error
    except SQLAlchemyError as error:  # of a database without a server, such as one that is locked
        raise TrackingError(f"MLflow at {uri}: {str(error).splitlines()[0]}") from error


def _check_answers(uri: str) -> None:
    """One quick request, because the client itself retries for minutes."""
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=CHECK_SECONDS):
            pass
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise TrackingError(
            f"tracking.uri {uri}: MLflow does not answer ({error}); start the server, correct the "
            "address, or leave tracking.uri empty to keep a database beside the runs"
        ) from error


def note_begun(home: Home, run_id: str, uri: str, experiment: str) -> None:
    """This process has begun the record of the run, which it holds (`claimed_here`)."""
    note = {"uri": uri, "experiment": experiment}
    write_atomic(home.record(run_id), json.dumps(note).encode())


def note_ended(home: Home, run_id: str) -> None:
    """It has ended it too."""
    home.record(run_id).unlink()


def end_abandoned(home: Home) -> list[str]:
    """Give what MLflow still shows as running of runs that no process of this machine works on any
    more, their children included, the status KILLED. Returns these runs.

    A server that does not answer is left for the next time.
    """
    return [note.stem for note in sorted(home.records.glob("*.json")) if _end(home, note)]


def _end(home: Home, note: Path) -> bool:
    """Whether the run of the note was abandoned and its record could be ended."""
    with suppress(ClaimError, TrackingError), claimed_here(home.lock(note.stem), note.stem):
        _end_record(note.stem, **json.loads(note.read_bytes()))
        note.unlink()
        return True
    return False


def _end_record(run_id: str, uri: str, experiment: str) -> None:
    client: Any = open_client(uri)
    with mlflow_errors(uri):
        found = client.get_experiment_by_name(experiment)
        query = f"tags.`{RUN_TAG}` = '{run_id}' and attributes.status = 'RUNNING'"
        for record in client.search_runs([found.experiment_id], query):
            client.set_terminated(record.info.run_id, "KILLED")


def record_as_killed(flow: Flow[..., object], flow_run: FlowRun, state: State) -> None:
    """A hook: MLflow shows as KILLED what the process could not end itself."""
    end_abandoned(open_home())

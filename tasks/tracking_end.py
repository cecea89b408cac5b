"""Ends the MLflow records of processes that were killed before they could do it themselves.

Each process notes in its home which record it has begun, and takes the note away when it has ended
the record. A note on a run that no process works on any more is that of one that was killed: the
worker finds it, in the hooks that Prefect calls for a run that was cancelled or crashed, and where
the worker died too, the next run that starts in that home.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from relex.claim import claimed_here
from relex.errors import ClaimError, TrackingError
from relex.home import Home, open_home
from relex.storage.atomic import write_atomic
from tasks.tracking import RUN_TAG
from tasks.tracking_client import mlflow_errors, open_client


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

"""The way to an MLflow server or database, and the door at which MLflow's errors become ours."""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from relex.config.addresses import check_addresses
from relex.errors import TrackingError
from relex.home import Home

CHECK_SECONDS = 5
SERVICE_VARIABLE = "MLFLOW_TRACKING_URI"
"""MLflow's own variable for the server; what a recipe or an option names goes before it."""
SQLITE = "sqlite:///"


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

"""Records runs in MLflow: the only importer of mlflow.

One parent run per pipeline run, one child for training and one for each candidate. Every call names
its run id; nothing depends on an active run or on MLflow's global state.
"""

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from relex.config import TrackingConfig
from relex.errors import TrackingError
from relex.home import Home
from tasks.services import HOST, MLFLOW_PAGE_PORT

CHAMPION = "champion"
RUN_TAG = "relex.run_id"
PARENT_TAG = "mlflow.parentRunId"
KIND_TAG = "relex.kind"
CHECK_SECONDS = 5
# Without it MLflow opens the experiment with its pages for prompts and traces.
TRAINING_PAGES = {"mlflow.experimentKind": "custom_model_development"}


def metric_name(text: str) -> str:
    """`text` with everything that MLflow's REST interface refuses in a metric replaced by `_`."""
    return re.sub(r"[^A-Za-z0-9_./ -]", "_", text)


class Tracker:
    """The MLflow record of one pipeline run, or of another `kind` of run with children."""

    def __init__(
        self, config: TrackingConfig, home: Home, run_id: str, kind: str = "pipeline"
    ) -> None:
        """Connect; raises TrackingError when the server cannot be reached or refuses."""
        self.uri = config.uri or f"sqlite:///{home.mlflow_database}"
        if self.uri.startswith("http"):
            _check_answers(self.uri)
        else:
            home.root.mkdir(parents=True, exist_ok=True)
        artifacts = "" if config.uri else home.mlflow_artifacts.as_uri()
        with _errors(self.uri):
            self._client = MlflowClient(self.uri, self.uri)
            self._experiment = self._open_experiment(config.experiment, artifacts)
            self.parent = self._find(run_id, kind) or self._create(run_id, run_id, {KIND_TAG: kind})
        self._run_id = run_id

    @property
    def link(self) -> str:
        """Where a person finds the parent run; without a server, on the page of `make ui`."""
        server = self.uri if self.uri.startswith("http") else f"http://{HOST}:{MLFLOW_PAGE_PORT}"
        return f"{server}/#/experiments/{self._experiment}/runs/{self.parent}"

    def begin(self) -> None:
        """The parent is running, also when an earlier attempt ended it."""
        with _errors(self.uri):
            self._client.update_run(self.parent, status="RUNNING")

    def describe(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Params and tags of the parent; writing the same ones again is no error."""
        with _errors(self.uri):
            self._client.log_batch(
                self.parent,
                params=[Param(name, str(value)) for name, value in params.items()],
                tags=[RunTag(name, value) for name, value in tags.items()],
            )

    def finished_child(self, name: str, status: str = "FINISHED") -> str | None:
        """The id of the child with this name that ended well, in this attempt or an earlier one,
        or of one that ended with another status."""
        query = (
            f"tags.`{PARENT_TAG}` = '{self.parent}' and attributes.run_name = '{name}' "
            f"and attributes.status = '{status}'"
        )
        with _errors(self.uri):
            found = self._client.search_runs([self._experiment], query, max_results=1)
        return str(found[0].info.run_id) if found else None

    @contextmanager
    def child(self, name: str, kind: str, params: Mapping[str, Any]) -> Iterator[str]:
        """A child run; a new one for each attempt, because MLflow keeps the points of a failed one.

        Yields its id. The child ends FINISHED, or FAILED when the block raises.
        """
        with _errors(self.uri):
            child = self._create(name, self._run_id, {PARENT_TAG: self.parent, KIND_TAG: kind})
            parameters = [Param(key, str(value)) for key, value in params.items()]
            self._client.log_batch(child, params=parameters)
        try:
            yield child
        except BaseException:
            self.end("FAILED", child)
            raise
        self.end("FINISHED", child)

    def log(self, values: Mapping[str, float], step: int = 0, run: str = "") -> None:
        """Metrics at an optimizer step; on the parent unless `run` says otherwise."""
        now = int(time.time() * 1000)
        metrics = [Metric(metric_name(name), value, now, step) for name, value in values.items()]
        with _errors(self.uri):
            self._client.log_batch(run or self.parent, metrics=metrics)

    def log_folder(self, folder: Path, name: str) -> None:
        """Files as artifacts of the parent, below `name`."""
        with _errors(self.uri):
            self._client.log_artifacts(self.parent, str(folder), name)

    def log_text(self, text: str, name: str, run: str = "") -> None:
        """A text file as an artifact; of the parent unless `run` says otherwise."""
        with _errors(self.uri):
            self._client.log_text(run or self.parent, text, name)

    def register(self, model: str, source: str, tags: Mapping[str, str], description: str) -> str:
        """A version of `model` whose weights stay at `source`, with the alias `champion`.

        Registering the same run twice gives the version that is there. Returns the version.
        """
        with _errors(self.uri):
            try:
                self._client.create_registered_model(model)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            version = self._version_of_parent(model) or self._client.create_model_version(
                model, source, run_id=self.parent, tags=dict(tags), description=description
            )
            self._client.set_registered_model_alias(model, CHAMPION, version.version)
            return str(version.version)

    def end(self, status: str, run: str = "") -> None:
        """Set the terminal status: FINISHED, FAILED or KILLED."""
        with _errors(self.uri):
            self._client.set_terminated(run or self.parent, status)

    def _open_experiment(self, name: str, artifacts: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = artifacts or None
        return str(self._client.create_experiment(name, location, tags=TRAINING_PAGES))

    def _find(self, run_id: str, kind: str) -> str | None:
        query = f"tags.`{RUN_TAG}` = '{run_id}' and tags.`{KIND_TAG}` = '{kind}'"
        runs = self._client.search_runs([self._experiment], query, max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def _create(self, name: str, run_id: str, tags: Mapping[str, str]) -> str:
        tags = {RUN_TAG: run_id, **tags}
        run = self._client.create_run(self._experiment, run_name=name, tags=tags)
        return str(run.info.run_id)

    def _version_of_parent(self, model: str) -> Any | None:
        found = self._client.search_model_versions(f"name = '{model}'")
        return next((version for version in found if version.run_id == self.parent), None)


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


@contextmanager
def _errors(uri: str) -> Iterator[None]:
    """Translate MLflow's errors at this one door."""
    try:
        yield
    except MlflowException as error:
        raise TrackingError(f"MLflow at {uri}: {error.message}") from error

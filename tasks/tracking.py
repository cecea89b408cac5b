"""Records runs in MLflow.

One parent run per pipeline run, one child for each attempt at training and one for each candidate.
Every call names its run id; nothing depends on an active run or on MLflow's global state.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient

from relex.claim import one_at_a_time
from relex.config import TrackingConfig
from relex.errors import TrackingError
from relex.home import Home
from relex.safe_name import safe_path
from relex.visible import one_line, visible
from tasks.services import HOST, MLFLOW_PAGE_PORT
from tasks.tracking_client import RUN_TAG, home_uri, mlflow_errors, open_client, tracking_uri
from tasks.tracking_experiment import open_experiment, run_page
from tasks.tracking_registry import Registry

PARENT_TAG = "mlflow.parentRunId"
KIND_TAG = "relex.kind"
CHILD_TAG = "relex.child"
TABLES_TAG = "mlflow.loggedArtifacts"
USE_TAG = "mlflow.data.context"
DIGEST_CHARACTERS = 16
MOST_PARAMS = 100
"""Of one request."""

TITLE_CHARACTERS = 250
"""What MLflow's tables have room for; a name is for people, and found by no program."""


def status_of(error: BaseException) -> str:
    """How a record ends that `error` ended: FAILED, or KILLED by what is no error but an
    interruption."""
    return "FAILED" if isinstance(error, Exception) else "KILLED"


class Tracker:
    """The MLflow record of one run: a pipeline's, or another kind's."""

    def __init__(
        self,
        config: TrackingConfig,
        home: Home,
        run_id: str,
        title: str = "",
        kind: str = "pipeline",
    ) -> None:
        """Find the record of `run_id` or begin it, under the name `title`.

        Raises TrackingError when the server cannot be reached or refuses.
        """
        self.uri = tracking_uri(config.uri, home)
        is_home = self.uri == home_uri(home)
        if is_home:
            home.root.mkdir(parents=True, exist_ok=True)
        self._run_id, self._title = run_id, title or run_id
        self._params: dict[str, Any] = {}
        self._tags = {RUN_TAG: run_id}
        artifacts = home.mlflow_artifacts.as_uri() if is_home else ""
        # Two processes that make the tables of a new database at once get in each other's way.
        with mlflow_errors(self.uri), one_at_a_time(home.lock("mlflow")):
            self._client: MlflowClient = open_client(self.uri)
            self._experiment = open_experiment(self._client, config.experiment, artifacts)
            self.parent = self._find(kind, run_id) or self._create(self._title, {KIND_TAG: kind})

    @property
    def server(self) -> str:
        """Address of the pages; without a server, of those of `make up`."""
        is_server = self.uri.startswith("http")
        return self.uri.rstrip("/") if is_server else f"http://{HOST}:{MLFLOW_PAGE_PORT}"

    @property
    def link(self) -> str:
        """Where a person finds the parent run."""
        return run_page(self.server, self._experiment, self.parent)

    def artifact(self, path: str) -> str:
        """Address of a file that the parent has, as a page of another server can name it."""
        return f"{self.server}/get-artifact?path={path}&run_uuid={self.parent}"

    @property
    def registry(self) -> Registry:
        """The registry of the same server."""
        return Registry(self._client, self.uri)

    def begin(self) -> None:
        """The parent is running, also when an earlier attempt ended it."""
        with mlflow_errors(self.uri):
            self._client.update_run(self.parent, status="RUNNING")

    @property
    def is_finished(self) -> bool:
        """Whether the parent ended well."""
        with mlflow_errors(self.uri):
            return bool(self._client.get_run(self.parent).info.status == "FINISHED")

    def describe(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Params and tags of the parent and of every child from now on.

        Writing the same ones again is no error; another value for a param is.
        """
        self._params |= params
        self._tags |= tags
        self.mark(tags)
        self.state(params)

    def state(self, params: Mapping[str, Any]) -> None:
        """Params of the parent alone."""
        stated = _params(params)
        with mlflow_errors(self.uri):
            for start in range(0, len(stated), MOST_PARAMS):
                self._client.log_batch(self.parent, params=stated[start : start + MOST_PARAMS])

    def mark(self, tags: Mapping[str, str]) -> None:
        """Tags of the parent alone."""
        with mlflow_errors(self.uri):
            self._client.log_batch(self.parent, tags=_tags(tags))

    def mark_pipelines(self, run_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Tags of the pipeline runs with these ids, of those that have a record."""
        with mlflow_errors(self.uri):
            for run in filter(None, (self._find("pipeline", run_id) for run_id in run_ids)):
                self._client.log_batch(run, tags=_tags(tags))

    def log_questions(self, use: str, name: str, digest: str, num: int, source: str) -> None:
        """A set of questions as an input of the parent.

        `use` is train, validation or test; `source` the recipe's entry in JSON.
        """
        data = Dataset(
            name=name,
            digest=digest[:DIGEST_CHARACTERS],
            source_type="recipe",
            source=source,
            profile=json.dumps({"num_questions": num}),
        )
        with mlflow_errors(self.uri):
            self._client.log_inputs(self.parent, [DatasetInput(data, [InputTag(USE_TAG, use)])])

    def finished_child(self, name: str) -> str | None:
        """The id of the child with this name that ended well, in this attempt or an earlier one."""
        query = (
            f"tags.`{PARENT_TAG}` = '{self.parent}' and tags.`{CHILD_TAG}` = '{name}' "
            "and attributes.status = 'FINISHED'"
        )
        with mlflow_errors(self.uri):
            found = self._client.search_runs([self._experiment], query, max_results=1)
        return str(found[0].info.run_id) if found else None

    def begin_child(self, name: str, kind: str, params: Mapping[str, Any]) -> str:
        """A child run; a new one for each attempt, because MLflow keeps the points of a failed one.

        It has the params and tags of the parent beside its own, because MLflow's filters look at
        each run by itself. Returns its id.
        """
        tags = {**self._tags, PARENT_TAG: self.parent, KIND_TAG: kind, CHILD_TAG: name}
        with mlflow_errors(self.uri):
            child = self._create(f"{name}, {self._title}", tags)
            self._client.log_batch(child, params=_params({**self._params, **params}))
        return child

    @contextmanager
    def child(self, name: str, kind: str, params: Mapping[str, Any]) -> Iterator[str]:
        """As `begin_child`; the child ends FINISHED, FAILED when the block raises, or KILLED when
        it is interrupted."""
        child = self.begin_child(name, kind, params)
        try:
            yield child
        except BaseException as error:
            with suppress(TrackingError):
                self.end(status_of(error), child)
            raise
        self.end("FINISHED", child)

    def log(
        self, values: Mapping[str, float], step: int = 0, run: str = "", model: str | None = None
    ) -> None:
        """Metrics at an optimizer step; on the parent unless `run` says otherwise, and on `model`,
        the id of one that was logged."""
        now = int(time.time() * 1000)
        metrics = [
            Metric(safe_path(name), value, now, step, model_id=model)
            for name, value in values.items()
        ]
        with mlflow_errors(self.uri):
            self._client.log_batch(run or self.parent, metrics=metrics)

    def logged_steps(self, name: str) -> set[int]:
        """Steps at which the parent has the metric, so that a later attempt adds only others."""
        with mlflow_errors(self.uri):
            history = self._client.get_metric_history(self.parent, safe_path(name))
        return {point.step for point in history}

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str, run: str) -> None:
        """Rows as a JSON table, which MLflow's pages show, sort and compare between runs.

        MLflow's own `log_table` writes the same file by way of pandas, whose version 3 warns of it.
        """
        table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
        with mlflow_errors(self.uri):
            self._client.log_dict(run, table, name)
            self._client.set_tag(run, TABLES_TAG, json.dumps([{"path": name, "type": "table"}]))

    def log_folder(self, folder: Path, name: str) -> None:
        """Files as artifacts of the parent, below `name`."""
        with mlflow_errors(self.uri):
            self._client.log_artifacts(self.parent, str(folder), name)

    def log_text(self, text: str, name: str, run: str = "") -> None:
        """A text file as an artifact; of the parent unless `run` says otherwise."""
        with mlflow_errors(self.uri):
            self._client.log_text(run or self.parent, text, name)

    def log_model(self, name: str, params: Mapping[str, Any], step: int) -> str:
        """A model that the parent made at `step`, on the page of models; logging it again gives the
        first. Its weights lie elsewhere: see `Registry.register`. Returns its id."""
        query = f"source_run_id = '{self.parent}'"
        with mlflow_errors(self.uri):
            found = self._client.search_logged_models([self._experiment], query)
            if found:
                return str(found[0].model_id)
            stated = {param.key: param.value for param in _params(params)}
            made = self._client.create_logged_model(
                self._experiment, name, self.parent, params=stated
            )
            self._client.finalize_logged_model(made.model_id, "READY")
            self._client.log_outputs(self.parent, [LoggedModelOutput(made.model_id, step)])
            return str(made.model_id)

    @contextmanager
    def machine_watched(self) -> Iterator[None]:
        """CPU, memory, disk, network and GPU of this machine go to the parent in the block."""
        monitor = SystemMetricsMonitor(self.parent, resume_logging=True, tracking_uri=self.uri)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()

    def end(self, status: str, run: str = "") -> None:
        """Set the terminal status: FINISHED, FAILED or KILLED."""
        with mlflow_errors(self.uri):
            self._client.set_terminated(run or self.parent, status)

    def _find(self, kind: str, run_id: str) -> str | None:
        query = f"tags.`{RUN_TAG}` = '{run_id}' and tags.`{KIND_TAG}` = '{kind}'"
        runs = self._client.search_runs([self._experiment], query, max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        tags = {tag.key: tag.value for tag in _tags({**self._tags, **tags})}
        title = one_line(name, TITLE_CHARACTERS)
        run = self._client.create_run(self._experiment, run_name=title, tags=tags)
        return str(run.info.run_id)


# What a database cannot hold, such as NUL in PostgreSQL, is written out.
def _params(values: Mapping[str, Any]) -> list[Param]:
    return [Param(name, visible(str(value))) for name, value in values.items()]


def _tags(values: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(name, visible(value)) for name, value in values.items()]

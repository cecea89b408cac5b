"""Ends the MLflow records of runs that could not end them themselves."""

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from relex.config import TrackingConfig
from relex.errors import TrackingError
from relex.home import Home
from tasks.tracking import RUN_TAG


def end_unfinished(config: TrackingConfig, home: Home, run_id: str) -> int:
    """Give what MLflow still shows as running of a pipeline run, its children included, the status
    KILLED. Only for a run on which no process works any more; returns how many records it were.

    Raises TrackingError when MLflow cannot be reached or refuses.
    """
    uri = config.uri or f"sqlite:///{home.mlflow_database}"
    if not config.uri and not home.mlflow_database.exists():
        return 0
    try:
        client = MlflowClient(uri, uri)
        experiment = client.get_experiment_by_name(config.experiment)
        if experiment is None:
            return 0
        query = f"tags.`{RUN_TAG}` = '{run_id}' and attributes.status = 'RUNNING'"
        unfinished = list(client.search_runs([experiment.experiment_id], query))
        for record in unfinished:
            client.set_terminated(record.info.run_id, "KILLED")
    except MlflowException as error:
        raise TrackingError(f"MLflow at {uri}: {error.message}") from error
    return len(unfinished)

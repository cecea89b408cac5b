"""A server that is away for a moment costs time, not a run."""

import threading

from mlflow.tracking import MlflowClient

from relex.config import TrackingConfig
from relex.home import Home
from relex.storage.embedded import free_port
from tasks.services import mlflow, running
from tasks.tracking import Tracker


def test_metrics_wait_for_an_mlflow_server_that_restarts(tmp_path):
    home, port, logged = Home(tmp_path), free_port(), threading.Event()
    with running(mlflow(home, port), home) as address:
        tracker = Tracker(TrackingConfig(uri=address), home, "toy-1")

    def log() -> None:
        tracker.log({"accuracy": 0.5}, step=3)
        logged.set()

    thread = threading.Thread(target=log)
    thread.start()
    assert not logged.wait(2)
    with running(mlflow(home, port), home):
        thread.join()
        (point,) = MlflowClient(address).get_metric_history(tracker.parent, "accuracy")
    assert (point.step, point.value) == (3, 0.5)

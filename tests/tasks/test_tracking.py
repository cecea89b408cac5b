"""The MLflow record, read back with MLflow's own client and over HTTP."""

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from relex.config import TrackingConfig
from relex.errors import TrackingError
from relex.home import Home
from relex.storage.embedded import free_port
from tasks.services import mlflow_server
from tasks.tracking import Tracker, metric_name
from tasks.tracking_end import end_abandoned, note_begun, note_ended

CONFIG = TrackingConfig(experiment="tests")


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory) -> Path:
    """A database with MLflow's tables, which take seconds to make."""
    home = Home(tmp_path_factory.mktemp("empty"))
    Tracker(CONFIG, home, "another-run")
    return home.mlflow_database


@pytest.fixture
def home(tmp_path, empty_database) -> Home:
    home = Home(tmp_path)
    shutil.copyfile(empty_database, home.mlflow_database)
    return home


@pytest.fixture
def tracker(home) -> Tracker:
    return Tracker(CONFIG, home, "toy-1")


@pytest.fixture
def client(tracker) -> MlflowClient:
    return MlflowClient(tracker.uri)


def test_the_same_run_is_found_again(tracker, home):
    assert Tracker(CONFIG, home, "toy-1").parent == tracker.parent
    assert Tracker(CONFIG, home, "toy-2").parent != tracker.parent


def test_params_may_be_written_twice(tracker, client):
    tracker.describe({"seed": 0}, {"relex.recipe_digest": "abc"})
    tracker.describe({"seed": 0}, {"relex.recipe_digest": "abc"})
    run = client.get_run(tracker.parent)
    assert run.data.params == {"seed": "0"}
    assert run.data.tags["relex.recipe_digest"] == "abc"


def test_a_param_that_changes_is_an_error(tracker):
    tracker.describe({"seed": 0}, {})
    with pytest.raises(TrackingError, match="seed"):
        tracker.describe({"seed": 1}, {})


def test_a_child_belongs_to_its_parent_and_ends_finished(tracker, client):
    with tracker.child("training", "training", {"seed": 0}) as child:
        tracker.log({"reward_mean": 0.5}, step=3, run=child)
    run = client.get_run(child)
    assert run.data.tags["mlflow.parentRunId"] == tracker.parent
    assert run.info.status == "FINISHED"
    (point,) = client.get_metric_history(child, "reward_mean")
    assert (point.step, point.value) == (3, 0.5)


def test_a_child_that_breaks_ends_failed_and_is_not_taken_for_finished(tracker, client):
    with pytest.raises(ZeroDivisionError), tracker.child("k = 60", "candidate", {}) as child:
        raise ZeroDivisionError
    assert client.get_run(child).info.status == "FAILED"
    assert tracker.finished_child("k = 60") is None
    with tracker.child("k = 60", "candidate", {}):
        pass
    assert tracker.finished_child("k = 60") is not None


def test_nothing_is_left_active(tracker):
    import mlflow

    assert mlflow.active_run() is None


def test_a_model_is_registered_once_with_its_source_and_alias(tracker, client):
    tags = {"relex.candidate": "extrapolated-120"}
    first = tracker.register("toy", "s3://relex/runs/toy-1/model", tags, "why")
    second = tracker.register("toy", "s3://relex/runs/toy-1/model", tags, "why")
    assert first == second
    version = client.get_model_version_by_alias("toy", "champion")
    assert (str(version.version), version.source) == (first, "s3://relex/runs/toy-1/model")
    assert version.tags == tags
    assert version.run_id == tracker.parent


def test_a_later_run_takes_the_alias(tracker, home, client):
    tracker.register("toy", "s3://relex/runs/toy-1/model", {}, "")
    later = Tracker(CONFIG, home, "toy-2").register("toy", "s3://relex/runs/toy-2/model", {}, "")
    assert str(client.get_model_version_by_alias("toy", "champion").version) == later


def test_a_server_that_does_not_answer_is_named(home):
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TrackingError, match=rf"{uri}: MLflow does not answer .* start the server"):
        Tracker(TrackingConfig(uri=uri), home, "toy-1")


@pytest.mark.parametrize(
    ("text", "name"),
    [("pass@1", "pass_1"), ("reward/a=b, c", "reward/a_b_ c"), ("accuracy", "accuracy")],
)
def test_metric_names_hold_only_what_mlflow_takes(text, name):
    assert metric_name(text) == name


@pytest.mark.slow
def test_a_server_shows_what_was_recorded(tracker, home):
    tracker.log({"validation_accuracy": 0.7}, step=120)
    with mlflow_server(home, free_port()) as address:
        url = f"{address}/api/2.0/mlflow/runs/get?run_id={tracker.parent}"
        with urllib.request.urlopen(url) as answer:
            run = json.load(answer)["run"]
    assert run["info"]["run_name"] == "toy-1"
    assert {"key": "validation_accuracy", "value": 0.7}.items() <= run["data"]["metrics"][0].items()


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from relex.claim import claimed_here
from relex.config import TrackingConfig
from relex.home import Home
from tasks.tracking import Tracker
from tasks.tracking_end import note_begun
home = Home(Path(sys.argv[1]))
with claimed_here(home.lock("toy-1"), "toy-1"):
    tracker = Tracker(TrackingConfig(experiment="tests"), home, "toy-1")
    note_begun(home, "toy-1", tracker.uri, "tests")
    with tracker.child("training", "training", {}):
        print("begun", flush=True)
        signal.pause()
"""


@pytest.mark.slow
def test_the_record_of_a_process_that_was_killed_is_ended_by_another(home, tracker, client):
    command = [sys.executable, "-c", KILLED_RUN, str(home.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        assert end_abandoned(home) == []  # it lives
        process.kill()
    assert end_abandoned(home) == ["toy-1"]
    assert end_abandoned(home) == []
    (experiment,) = [e for e in client.search_experiments() if e.name == "tests"]
    runs = client.search_runs([experiment.experiment_id], "tags.`relex.run_id` = 'toy-1'")
    assert {run.info.run_name: run.info.status for run in runs} == {
        "toy-1": "KILLED",
        "training": "KILLED",
    }


def test_a_record_on_a_server_that_is_away_is_left_for_the_next_time(home):
    note_begun(home, "toy-1", f"http://127.0.0.1:{free_port()}", "tests")
    assert end_abandoned(home) == []
    assert home.record("toy-1").exists()
    note_ended(home, "toy-1")
    assert list(home.records.iterdir()) == []

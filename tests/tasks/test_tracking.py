"""The MLflow record, read back with MLflow's own client and over HTTP."""

import json
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from relex.config import BaseConfig, Recipe, RewardTerm, TrackingConfig, load_recipe
from relex.errors import TrackingError
from relex.home import Home
from relex.storage.embedded import free_port
from tasks.record_values import model_name, recipe_params, run_params, run_title
from tasks.services import mlflow, running
from tasks.tracking import Tracker
from tasks.tracking_client import end_abandoned, note_begun, note_ended
from tasks.tracking_experiment import COLUMNS, HOW_TO_COMPARE, NOTE_TAG
from tests.waiting import wait_until

TOY = Path(__file__).parents[2] / "deployments" / "recipes" / "toy.yaml"
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
    return Tracker(CONFIG, home, "toy-1", "exact_match lr 1e-5 seed 0 (toy)")


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


def test_all_of_a_recipe_is_stated_and_found_by_what_its_name_says(tracker, client, recipe):
    tracker.state(recipe_params(recipe))
    tracker.state(recipe_params(recipe))
    params = client.get_run(tracker.parent).data.params
    assert params == recipe_params(recipe)
    assert params["training.learning_rate"] == "1e-5"
    assert params["rewards.0.reward"] == "exact_match"
    assert params["evaluation.observed_steps"] == "10, 20"
    assert "storage.uri" not in params
    stepped = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"kl_beta": 0.01})}
    )
    changed = recipe_params(stepped).items() ^ params.items()
    assert changed == {("training.kl_beta", "0.01"), ("training.kl_beta", "0")}


def test_metrics_of_one_value_need_no_quotes_in_a_filter(tracker, client):
    tracker.log({"test_accuracy": 0.9})
    run = client.get_run(tracker.parent)
    found = client.search_runs([run.info.experiment_id], "metrics.test_accuracy > 0.8")
    assert [each.info.run_id for each in found] == [tracker.parent]


def test_a_child_belongs_to_its_parent_and_ends_finished(tracker, client):
    with tracker.child("training", "training", {"seed": 0}) as child:
        tracker.log({"reward_mean": 0.5}, step=3, run=child)
    run = client.get_run(child)
    assert run.data.tags["mlflow.parentRunId"] == tracker.parent
    assert run.info.status == "FINISHED"
    (point,) = client.get_metric_history(child, "reward_mean")
    assert (point.step, point.value) == (3, 0.5)


def test_a_child_that_breaks_ends_failed_and_is_not_taken_for_finished(tracker, client):
    with pytest.raises(ZeroDivisionError), tracker.child("line-60", "candidate", {}) as child:
        raise ZeroDivisionError
    assert client.get_run(child).info.status == "FAILED"
    assert tracker.finished_child("line-60") is None
    with tracker.child("line-60", "candidate", {}):
        pass
    assert tracker.finished_child("line-60") is not None


def test_a_child_has_the_params_and_tags_of_its_parent(tracker, client):
    tracker.describe({"seed": 0, "reward": "exact_match"}, {"relex.recipe_digest": "abc"})
    with tracker.child("line-60", "candidate", {"kind": "extrapolated"}) as child:
        pass
    parent, run = client.get_run(tracker.parent).data, client.get_run(child).data
    assert run.params == {**parent.params, "kind": "extrapolated"}
    assert run.tags["relex.recipe_digest"] == "abc"
    assert run.tags["relex.run_id"] == parent.tags["relex.run_id"] == "toy-1"
    assert run.tags["mlflow.runName"] == "line-60, exact_match lr 1e-5 seed 0 (toy)"


def test_an_interrupted_child_is_killed(tracker, client):
    with pytest.raises(KeyboardInterrupt), tracker.child("line-60", "candidate", {}) as child:
        raise KeyboardInterrupt
    assert client.get_run(child).info.status == "KILLED"


def test_the_steps_of_a_curve_are_known_to_a_later_attempt(tracker, home):
    for step in (1, 2):
        tracker.log({"training/reward_mean": 0.5}, step)
    later = Tracker(CONFIG, home, "toy-1")
    assert later.logged_steps("training/reward_mean") == {1, 2}
    assert later.logged_steps("training/loss") == set()


def test_questions_are_inputs_of_the_run(tracker, client):
    tracker.log_questions("validation", "math.jsonl", "a" * 64, 500, '{"kind": "jsonl"}')
    tracker.log_questions("validation", "math.jsonl", "a" * 64, 500, '{"kind": "jsonl"}')
    (found,) = client.get_run(tracker.parent).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("math.jsonl", "a" * 16)
    assert json.loads(found.dataset.profile) == {"num_questions": 500}
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "validation")]


def test_answers_are_a_table_that_mlflow_knows(tracker, client, tmp_path):
    rows = [{"question": "1+1=", "correct": "yes"}, {"question": "1+2=", "correct": "no"}]
    tracker.log_table(rows, "answers.json", tracker.parent)
    table = json.loads(Path(client.download_artifacts(tracker.parent, "answers.json")).read_text())
    assert table == {"columns": ["question", "correct"], "data": [["1+1=", "yes"], ["1+2=", "no"]]}
    assert "answers.json" in client.get_run(tracker.parent).data.tags["mlflow.loggedArtifacts"]


def test_the_machine_is_watched_only_in_the_block(tracker, client, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    tracker.begin()
    with tracker.machine_watched():
        wait_until(lambda: tracker.logged_steps("system/cpu_utilization_percentage"))
    steps = tracker.logged_steps("system/cpu_utilization_percentage")
    assert not [t for t in threading.enumerate() if t.name == "SystemMetricsMonitor"]
    assert "system/system_memory_usage_megabytes" in client.get_run(tracker.parent).data.metrics
    with tracker.machine_watched():
        wait_until(lambda: tracker.logged_steps("system/cpu_utilization_percentage") > steps)


def test_the_experiment_says_how_to_compare(tracker, client):
    tags = client.get_experiment_by_name("tests").tags
    assert tags[NOTE_TAG] == HOW_TO_COMPARE
    assert json.loads(tags["mlflow.sharedViewState.relex"])["selectedColumns"] == list(COLUMNS)


def test_nothing_is_left_active(tracker):
    import mlflow

    assert mlflow.active_run() is None


def test_a_server_that_does_not_answer_is_named(home):
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TrackingError, match=rf"{uri}: MLflow does not answer .* start the server"):
        Tracker(TrackingConfig(uri=uri), home, "toy-1")


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe(TOY)


def test_a_title_says_reward_rate_and_seed(recipe):
    assert run_title(recipe) == "exact_match lr 1e-5 seed 0 (toy)"
    terms = (
        RewardTerm(reward="my_rewards:concise", params={"longest": 300}),
        RewardTerm(reward="format", weight=0.2),
    )
    other = recipe.model_copy(update={"rewards": terms, "seed": 3})
    assert run_title(other) == "concise(longest=300) + 0.2 format lr 1e-5 seed 3 (toy)"
    params = run_params(other, 30, "float32")
    assert params["reward"] == "concise(longest=300) + 0.2 format"
    assert params["dtype"] == "float32"


def test_what_is_recorded_of_a_run_does_not_change_when_its_training_ends_early(recipe):
    update = {"steps": "auto", "most_steps": 75}
    auto = recipe.model_copy(update={"training": recipe.training.model_copy(update=update)})
    before, after = run_params(auto, 75, "float32"), run_params(auto, 20, "float32")
    assert before == after
    assert before["steps_trained"] == "auto, at most 75"
    assert run_params(recipe, 30, "float32")["steps_trained"] == 30


def test_runs_of_one_base_and_benchmark_share_a_registered_model(recipe):
    base = BaseConfig(path="Qwen/Qwen2.5-Math-1.5B")
    other = recipe.model_copy(update={"base": base, "tracking": TrackingConfig()})
    assert model_name(other) == "Qwen2.5-Math-1.5B-on-toy"
    assert model_name(recipe) == recipe.tracking.registered_model == "toy"


def test_a_server_shows_what_was_recorded(tracker, home):
    tracker.log({"validation_accuracy": 0.7}, step=120)
    with running(mlflow(home, free_port()), home) as address:
        url = f"{address}/api/2.0/mlflow/runs/get?run_id={tracker.parent}"
        with urllib.request.urlopen(url) as answer:
            run = json.load(answer)["run"]
    assert run["info"]["run_name"] == "exact_match lr 1e-5 seed 0 (toy)"
    assert {"key": "validation_accuracy", "value": 0.7}.items() <= run["data"]["metrics"][0].items()


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from relex.claim import claimed_here
from relex.config import TrackingConfig
from relex.home import Home
from tasks.tracking import Tracker
from tasks.tracking_client import note_begun
home = Home(Path(sys.argv[1]))
with claimed_here(home.lock("toy-1"), "toy-1"):
    tracker = Tracker(TrackingConfig(experiment="tests"), home, "toy-1")
    note_begun(home, "toy-1", tracker.uri, "tests")
    with tracker.child("training", "training", {}):
        print("begun", flush=True)
        signal.pause()
"""


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
        "exact_match lr 1e-5 seed 0 (toy)": "KILLED",
        "training, toy-1": "KILLED",
    }


def test_a_record_on_a_server_that_is_away_is_left_for_the_next_time(home):
    note_begun(home, "toy-1", f"http://127.0.0.1:{free_port()}", "tests")
    assert end_abandoned(home) == []
    assert home.record("toy-1").exists()
    note_ended(home, "toy-1")
    assert list(home.records.iterdir()) == []

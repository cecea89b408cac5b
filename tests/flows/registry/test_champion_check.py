"""The weekly check of a champion, as a flow on a real Prefect server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
CHECK = """
import json, sys
from flows.champion import champion_check
states = {model: champion_check(model, seed=7, return_state=True) for model in sys.argv[1:]}
print(json.dumps({model: [state.name, state.message] for model, state in states.items()}))
"""


@pytest.fixture(scope="module")
def publisher(publisher_at):
    """The toy's base, registered as right half of the time, which it is, and as nearly always."""
    publisher = publisher_at("")
    publisher.publish("honest", accuracy=0.5)
    publisher.publish("lucky", accuracy=0.95)
    return publisher


@pytest.fixture(scope="module")
def states(publisher, build_environment) -> dict[str, list[str]]:
    """Name and message of the state in which the check of each model ends."""
    result = subprocess.run(
        [sys.executable, "-c", CHECK, "honest", "lucky", "absent"],
        cwd=ROOT,
        env=build_environment(publisher.home.root),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_a_champion_that_holds_completes(states):
    name, message = states["honest"]
    assert name == "Completed"
    assert message.startswith("Version 1 of honest holds: 0.")


def test_a_champion_that_is_worse_fails_and_says_why(states):
    name, message = states["lucky"]
    assert name == "Failed"
    assert message.startswith("ALARM: version 1 of lucky reaches only 0.")
    assert "worse than chance explains" in message


def test_a_model_that_does_not_exist_is_told(states):
    name, message = states["absent"]
    assert name == "Failed"
    assert "no model is registered as absent; there is honest, lucky" in message


def test_the_check_is_a_curve_in_mlflow(states, publisher):
    client = MlflowClient(f"sqlite:///{publisher.home.mlflow_database}")
    experiment = client.get_experiment_by_name("relex").experiment_id
    (run,) = client.search_runs([experiment], "attributes.run_name = 'champion-check lucky'")
    (point,) = client.get_metric_history(run.info.run_id, "now/toy")
    assert point.step == 1
    assert run.data.metrics["registered/toy"] > 0.9 > point.value
    assert run.data.metrics["p_value/toy"] < 0.01
    assert run.info.status == "FINISHED"

"""A sweep whose trial gets worse at what it is judged by, for real."""

from copy import deepcopy

import pytest
import yaml
from mlflow.tracking import MlflowClient

from relex.home import Home
from relex.sweep import Leaderboard

pytestmark = pytest.mark.slow


def test_a_trial_whose_accuracy_falls_is_stopped_and_the_leaderboard_says_why(
    tmp_path, starter, build_environment, shipped_sweep
):
    """The reward is paid, so nothing but the grader can tell."""
    chatty = [reward for reward in shipped_sweep["rewards"] if reward["name"] == "chatty"]
    sweep = deepcopy(shipped_sweep)
    sweep |= {"rewards": chatty, "seeds": [0], "stop_after_falling_steps": 3}
    sweep["base"]["training"] |= {"learning_rate": 1e-3, "prompts_per_step": 16}
    path = tmp_path / "falling.yaml"
    path.write_text(yaml.safe_dump(sweep))
    home = Home(tmp_path / "home")
    ended = starter.run("flows.program", ["sweep", str(path)], build_environment(home.root))

    assert ended.returncode == 1, ended.stdout + ended.stderr
    (found,) = home.s3.glob("relex/sweeps/*/leaderboard.json")
    (trial,) = Leaderboard.model_validate_json(found.read_bytes()).trials
    assert trial.status == "stopped"
    assert "stopped, because its accuracy falls: " in trial.reason
    assert trial.reason.endswith("or raise training.stop_after_falling_steps")
    client = MlflowClient(f"sqlite:///{home.mlflow_database}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "relex"]
    runs = client.search_runs([experiment.experiment_id])
    (pipeline,) = [run for run in runs if run.data.tags["relex.kind"] == "pipeline"]
    assert pipeline.info.status == "FAILED"

    def curve(name: str) -> dict[int, float]:
        points = client.get_metric_history(pipeline.info.run_id, f"training/{name}")
        return {point.step: point.value for point in points}

    accuracy, reward, spread = map(curve, ("accuracy", "reward_mean", "accuracy_spread"))
    last = max(accuracy)
    assert list(accuracy) == list(reward) == list(spread) == list(range(1, last + 1))
    assert last < 8
    assert accuracy[last] < accuracy[1] and reward[last] > reward[1]

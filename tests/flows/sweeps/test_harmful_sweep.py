"""A sweep one of whose rewards makes the model worse: nothing celebrates it."""

import pytest
import yaml
from mlflow.tracking import MlflowClient

from relex.home import Home
from relex.report import RunSummary, variant_rows
from relex.sweep import Leaderboard

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory, shipped_sweep, starter, build_environment) -> Home:
    """Of a sweep that has ended: the good and the bad reward of the example, one seed."""
    home = Home(tmp_path_factory.mktemp("harmful"))
    rewards = [reward for reward in shipped_sweep["rewards"] if reward["name"] != "broken"]
    sweep = shipped_sweep | {"rewards": rewards, "seeds": [0]}
    (path := home.root / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    ended = starter.run("flows.program", ["sweep", str(path)], build_environment(home.root))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return home


def leaderboard_of(home: Home) -> Leaderboard:
    (path,) = home.s3.glob("relex/sweeps/*/leaderboard.json")
    return Leaderboard.model_validate_json(path.read_bytes())


def harmed_run(home: Home) -> str:
    (trial,) = leaderboard_of(home).trials_of("chatty")
    return trial.run_id


def test_the_leaderboard_ranks_it_last_and_as_harmful(home):
    leaderboard = leaderboard_of(home)
    assert [row["rank"] for row in variant_rows(leaderboard)] == ["1", "harmful"]
    assert leaderboard.variants[1].variant == "chatty"
    told = "chatty: in 1 of 1 trial training made the model clearly worse than the base"
    assert told in leaderboard.verdict


def test_the_report_says_it_first_and_publishes_the_base(home):
    folder = home.s3 / "relex" / "runs" / harmed_run(home) / "report"
    summary = RunSummary.model_validate_json((folder / "summary.json").read_bytes())
    assert summary.decision.verdict == "harmful"
    _, headline = (folder / "report.md").read_text().split("\n\n")[:2]
    assert headline.startswith("**⚑ Training made the model worse: the validation accuracy 0.")
    assert "Look at the reward." in headline
    weights = folder.parent / "model" / "model.safetensors"
    assert weights.exists()


def test_nothing_of_it_is_registered_and_mlflow_has_it_as_a_tag(home):
    client = MlflowClient(f"sqlite:///{home.mlflow_database}")
    (model,) = client.search_registered_models()
    (version,) = client.search_model_versions(f"name = '{model.name}'")
    assert version.tags["relex.run_id"] != harmed_run(home)
    (experiment,) = [e for e in client.search_experiments() if e.name == "relex"]
    query = "tags.`relex.verdict` = 'harmful'"
    (run,) = client.search_runs([experiment.experiment_id], query)
    assert run.data.tags["relex.run_id"] == harmed_run(home)


def test_the_state_of_its_flow_run_says_it(home, client):
    (run,) = [run for run in client.read_flow_runs() if run.name == harmed_run(home)]
    assert (run.state_name, run.state_type) == ("Harmful", "COMPLETED")
    assert run.state.message.startswith("Training made the model worse: ")

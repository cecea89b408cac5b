"""A sweep for real: inline from a shell, and on a pool whose worker is killed.

Inline with one seed and less of everything; the example that is shipped is one of the slow tests.
"""

import json
import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from prefect.client.schemas.actions import WorkPoolUpdate

from relex.home import Home
from relex.report import RunSummary
from relex.sweep import Leaderboard

ROOT = Path(__file__).parents[3]
of_the_example = pytest.mark.parametrize(
    "swept", [pytest.param("shipped_sweep", marks=pytest.mark.slow)], indirect=True
)


@dataclass(frozen=True)
class Swept:
    """A sweep that has ended."""

    sweep: dict[str, Any]
    home: Home
    output: str

    @property
    def leaderboard(self) -> Leaderboard:
        (path,) = self.home.s3.glob("relex/sweeps/*/leaderboard.json")
        return Leaderboard.model_validate_json(path.read_bytes())

    @property
    def runs(self) -> dict[str, Path]:
        return {path.name: path for path in (self.home.s3 / "relex" / "runs").iterdir()}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow) for name in ("small_sweep", "shipped_sweep")
    ],
)
def swept(request, tmp_path_factory, starter, build_environment) -> Swept:
    """Killed with its second trial begun, and started again."""
    sweep = request.getfixturevalue(request.param)
    if request.param == "small_sweep":
        sweep = sweep | {"seeds": [0]}
    home = Home(tmp_path_factory.mktemp("swept"))
    (path := home.root / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    command = ("flows.program", ["sweep", str(path)], build_environment(home.root))
    with starter.started(*command) as program:
        program.wait_for_words("trial 2 of ")
    again = starter.run(*command)
    assert again.returncode == 0, again.stdout + again.stderr
    return Swept(sweep, home, again.stdout)


@of_the_example
def test_the_good_reward_wins_and_the_paragraph_says_how_certain_that_is(swept):
    leaderboard = swept.leaderboard
    assert [v.variant for v in leaderboard.variants] == ["exact-match", "chatty", "broken"]
    second = leaderboard.variants[1]
    assert second.to_winner.test.difference > 0
    assert second.to_winner.test.p_value < 0.05
    assert second.to_winner.seeds == (0, 1)
    assert "exact-match is best on validation" in leaderboard.verdict
    assert "more than chance explains (p = 0.0" in leaderboard.verdict
    assert " ".join(leaderboard.verdict.split()) in " ".join(swept.output.split())


def test_the_broken_reward_is_reported_and_not_fatal(swept):
    broken = swept.leaderboard.trials_of("broken")
    num_seeds = len(swept.sweep["seeds"])
    assert [trial.status for trial in broken] == ["failed"] * num_seeds
    assert broken[0].reason.startswith("reward relex.toy.rewards.broken: raised ValueError: ")
    trials = "trial" if num_seeds == 1 else "trials"
    told = f"broken: {num_seeds} of {num_seeds} {trials} failed (reward relex.toy.rewards.broken"
    assert told in swept.output


def test_the_trial_that_was_finished_before_the_kill_was_not_run_again(swept):
    num_trials = len(swept.leaderboard.trials)
    assert f"1 of {num_trials} trials are finished already" in swept.output
    second = swept.leaderboard.trials[1]
    assert f"trial 1 of {num_trials - 1}: {second.label}" in swept.output


def test_the_numbers_are_those_of_the_runs(swept):
    for trial in swept.leaderboard.trials:
        if trial.measures is None:
            continue
        path = swept.runs[trial.run_id] / "report" / "summary.json"
        summary = RunSummary.model_validate_json(path.read_bytes())
        decision = summary.decision
        assert trial.measures.chosen == decision.chosen
        assert trial.measures.validation_accuracy == decision.result(decision.chosen).accuracy
        tested = summary.benchmark_result("toy", decision.chosen)
        assert trial.measures.test_accuracies == {"toy": tested.accuracy}


def test_all_trials_answered_the_same_questions(swept):
    asked = set()
    for trial in swept.leaderboard.trials:
        if trial.measures is not None:
            key = trial.measures.chosen.key
            path = swept.runs[trial.run_id] / "scores" / "toy" / key / "manifest.json"
            inputs = json.loads(path.read_bytes())["inputs"]
            asked.add((inputs["problems"], inputs["grader"]))
    assert len(asked) == 1


def test_mlflow_has_a_run_for_the_sweep_and_marks_its_trials(swept):
    client = MlflowClient(f"sqlite:///{swept.home.mlflow_database}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "relex"]
    runs = client.search_runs([experiment.experiment_id])
    assert "RUNNING" not in {run.info.status for run in runs}
    (parent,) = [run for run in runs if run.data.tags["relex.kind"] == "sweep"]
    marked = f"tags.`relex.sweep` = '{swept.leaderboard.sweep_id}'"
    trials = client.search_runs([experiment.experiment_id], marked)
    measured = [trial.run_id for trial in swept.leaderboard.trials if trial.measures]
    assert set(measured) <= {run.data.tags["relex.run_id"] for run in trials}
    assert {run.data.tags["relex.kind"] for run in trials} == {"pipeline"}
    assert parent.data.tags["relex.winner"] == swept.leaderboard.variants[0].variant
    assert "broken" in parent.data.tags["mlflow.note.content"]
    assert "class ExactMatch" in read(client, parent, "reward/exact_match.py")
    assert "def chatty" in read(client, parent, "reward/relex.toy.rewards.chatty.py")


def read(client: MlflowClient, run: Run, path: str) -> str:
    return Path(client.download_artifacts(run.info.run_id, path)).read_text()


@pytest.mark.slow
def test_on_a_pool_whose_worker_is_killed_every_trial_is_accounted_for_and_none_runs_twice(
    pool, small_sweep
):
    pool.client.update_work_pool(pool.name, WorkPoolUpdate(concurrency_limit=2))
    pool.deploy("relex-pipeline", ROOT, "flows/pipeline.py:relex_pipeline")
    pool.deploy("reward-sweep", ROOT, "flows/sweep.py:reward_sweep")
    home = Home(pool.folder / "home")
    sweep = small_sweep | {"mode": "pool"}
    parent = pool.start_sweep(sweep)
    # The worker, and the trial that is training, as when the machine runs out of memory.
    pool.wait_for(lambda: list(home.s3.glob("relex/runs/*/window/steps/step_000003.safetensors")))
    os.kill(pool.worker.pid, signal.SIGKILL)
    pool.worker.wait()
    (killed,) = [run for run in pool.runs_of("relex-pipeline") if run.state_name == "Running"]
    pool.kill_process_of(killed.id)
    pool.worker = pool.start_worker()
    pool.wait_for(lambda: pool.state(parent) in ("Completed", "Failed", "Crashed"))
    assert pool.state(parent) == "Completed"

    leaderboard = Swept(sweep, home, "").leaderboard
    assert Counter(trial.status for trial in leaderboard.trials) == {"finished": 4, "failed": 2}
    assert leaderboard.variants[2].variant == "broken"
    states = Counter((run.name, run.state_name) for run in pool.runs_of("relex-pipeline"))
    expected = Counter({(killed.name, "Crashed"): 1})
    for trial in leaderboard.trials:
        expected[trial.run_id, "Completed" if trial.status == "finished" else "Failed"] += 1
    assert states == expected
    assert set(finished_children(home).values()) == {1}


def finished_children(home: Home) -> Counter[tuple[str, str]]:
    """How often each part of each run was done to its end: the training, and each candidate."""
    client = MlflowClient(f"sqlite:///{home.mlflow_database}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "relex"]
    return Counter(
        (run.data.tags["mlflow.parentRunId"], run.info.run_name)
        for run in client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
        if run.data.tags["relex.kind"] in ("training", "candidate")
    )

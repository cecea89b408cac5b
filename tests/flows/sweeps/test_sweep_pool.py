"""Trials on a pool: a real server, real workers, and processes that are really killed.

The pipeline here is a stand-in that waits for a file, so that everything that can happen to a flow
run can happen at the right moment; `test_sweep.py` runs the real one.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from relex.config import SweepConfig
from relex.sweep import Trial, build_trials
from tasks.sweep import base_recipe
from tasks.sweep_pool import is_alive_here

NAMES = ("toy-first-0", "toy-second-0", "toy-flat-0")
PIPELINE = '''
"""A pipeline that waits for a file with its trial's name."""
import time
from pathlib import Path
from prefect import flow
from relex.errors import NoLearningError

HERE = Path(__file__).parent

@flow(name="relex-pipeline")
def pipeline(recipe: dict) -> None:
    name = f"{recipe['name']}-{recipe['seed']}"
    with (HERE / f"{name}.started").open("a") as file:
        file.write("started\\n")
    while not (HERE / name).exists():
        time.sleep(0.1)
    if (HERE / name).read_text() == "flat":
        raise NoLearningError("step 5: stopped")
'''
SWEEP = '''
"""A sweep without a leaderboard."""
from pathlib import Path
from prefect import flow
from relex.config import SweepConfig
from relex.sweep import build_trials
from tasks.sweep import base_recipe
from tasks.sweep_pool import cancel_trials, run_on_pool

@flow(name="reward-sweep", on_cancellation=[cancel_trials])
def sweep(sweep: dict) -> None:
    config = SweepConfig.model_validate(sweep)
    endings = run_on_pool(build_trials(config, base_recipe(config)))
    lines = [f"{run_id.rpartition('-')[0]} {e.status} {e.reason}" for run_id, e in endings.items()]
    (Path(__file__).parent / "endings").write_text("\\n".join(lines))
'''


class StandIns:
    """The files by which the stand-ins tell what they did, and wait for what they may do."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "pipeline.py").write_text(PIPELINE)
        (folder / "sweep.py").write_text(SWEEP)

    def release(self, trial: str) -> None:
        """Let the trial go on to its end."""
        (self._folder / trial).write_text("flat" if "flat" in trial else "")

    def num_starts(self, trial: str) -> int:
        path = self._folder / f"{trial}.started"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def endings(self) -> list[str]:
        return sorted((self._folder / "endings").read_text().splitlines())


@pytest.fixture
def stand_ins(pool) -> StandIns:
    written = StandIns(pool.folder)
    pool.deploy("relex-pipeline", pool.folder, "pipeline.py:pipeline")
    pool.deploy("reward-sweep", pool.folder, "sweep.py:sweep")
    return written


def sweep_of(*names: str) -> tuple[dict, list[Trial]]:
    """A sweep with a trial of each name, and the trials."""
    rewards = [
        {"name": name, "terms": [{"reward": "exact_match", "weight": 1 + number}]}
        for number, name in enumerate(names)
    ]
    sweep = {"name": "test", "base": "toy", "rewards": rewards, "seeds": [0]}
    config = SweepConfig.model_validate(sweep)
    return sweep, build_trials(config, base_recipe(config))


def test_whatever_is_killed_no_trial_is_lost_and_none_runs_twice(pool, stand_ins):
    sweep, trials = sweep_of("first", "second", "flat")
    killed = pool.start_sweep(sweep)
    pool.wait_for(lambda: sum(map(stand_ins.num_starts, NAMES)) == 3)
    # The worker, which leaves the processes of its flow runs behind.
    os.kill(pool.worker.pid, signal.SIGKILL)
    pool.worker.wait()
    pool.worker = pool.start_worker()
    # A trial: nobody tells the server, so the sweep must find out and start it again.
    pool.kill_process_of(pool.runs(trials[1])[0].id)
    pool.wait_for(lambda: stand_ins.num_starts("toy-second-0") == 2)
    # The sweep: the next one waits for what still runs.
    pool.kill_process_of(killed)
    again = pool.start_sweep(sweep)
    tag = f"sweep-run:{again}"
    pool.wait_for(lambda: sum(tag in r.tags for t in trials for r in pool.runs(t)) == 3)
    for name in NAMES:
        stand_ins.release(name)
    pool.wait_for(lambda: pool.state(again) == "Completed")
    assert stand_ins.endings() == [
        "toy-first finished ",
        "toy-flat stopped step 5: stopped",
        "toy-second finished ",
    ]
    assert [stand_ins.num_starts(name) for name in NAMES] == [1, 2, 1]
    assert [run.state_name for run in pool.runs(trials[0])] == ["Completed"]
    attempts = {run.idempotency_key[-2:]: run.state_name for run in pool.runs(trials[1])}
    assert attempts == {"-1": "Crashed", "-2": "Completed"}


def test_a_cancelled_sweep_cancels_its_trials(pool, stand_ins):
    sweep, trials = sweep_of("one", "two")
    parent = pool.start_sweep(sweep)
    pool.wait_for(
        lambda: stand_ins.num_starts("toy-one-0") + stand_ins.num_starts("toy-two-0") == 2
    )
    command = [sys.executable, "-m", "prefect", "flow-run", "cancel", str(parent)]
    subprocess.run(command, env=pool.environment, check=True, capture_output=True)
    pool.wait_for(lambda: pool.state(parent) == "Cancelled")
    pool.wait_for(lambda: {r.state_name for t in trials for r in pool.runs(t)} == {"Cancelled"})
    assert not any(is_alive_here(run) for trial in trials for run in pool.runs(trial))

"""Stages with real child processes, logged through Prefect's own loggers."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW, temporary_settings

from relex.children import Child
from relex.config import Recipe, check_recipe
from relex.errors import StageError
from relex.home import Home
from relex.storage import S3Connection
from tasks.run import Run
from tasks.stage import stage

SLEEPS = "import time; time.sleep(600)"
LOGGER = logging.getLogger("prefect.task_runs")


@pytest.fixture(autouse=True)
def outside_of_flows() -> Iterator[None]:
    """Another test may have let Prefect send its logs to a server, which wants a flow run."""
    with temporary_settings({PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore"}):
        yield


def recipe(**limits: float) -> Recipe:
    value = {
        "name": "toy",
        "base": {"path": "toy"},
        "problems": {
            "train": {"kind": "toy", "split": "train"},
            "validation": {"kind": "toy", "split": "validation"},
            "test": [{"name": "toy", "source": {"kind": "toy", "split": "test"}}],
        },
        "rewards": [{"reward": "exact_match"}],
        "training": {"steps": 2, "learning_rate": 1e-5},
        "extrapolation": {"targets": [4]},
        "limits": limits,
    }
    return check_recipe(value, "recipe")


def run_in(folder: Path, **limits: float) -> Run:
    return Run(recipe(**limits), Home(folder), str(folder / "root"), S3Connection())


def stored_log(run: Run, name: str) -> list[str]:
    """The messages without their times."""
    lines = run.store.get(f"logs/{name}.log").decode().splitlines()
    return [line.split(" ", 2)[2] for line in lines]


def test_a_limit_ends_the_stage_and_its_child_and_says_what_to_do(tmp_path):
    run = run_in(tmp_path, train_minutes=0.01)
    words = (
        r"^train: took longer than limits\.train_minutes, 0\.01; what is done is kept: start it "
        r"again with a higher limit, or see .*/runs/toy-.*/logs/train\.log for what it waits for$"
    )
    with (
        pytest.raises(StageError, match=words),
        stage(run, "train"),
        Child.of_command([sys.executable, "-c", SLEEPS], LOGGER.warning) as child,
    ):
        LOGGER.warning("waiting")
        pid = child.pid
        child.receive()
    assert not psutil.pid_exists(pid)
    assert stored_log(run, "train") == ["WARNING waiting"]


def test_a_stage_within_its_limit_is_left_alone(tmp_path):
    run = run_in(tmp_path, fit_minutes=10)
    with stage(run, "fit"):
        pass
    assert list(json.loads(run.store.get("seconds.json"))) == ["fit"]


def test_the_log_of_a_stage_holds_all_attempts_also_those_that_failed(tmp_path):
    run = run_in(tmp_path)
    with pytest.raises(ZeroDivisionError), stage(run, "fit"):
        LOGGER.warning("first")
        raise ZeroDivisionError
    (run.work / "logs" / "fit.log").unlink()  # another machine goes on
    with stage(run, "fit"):
        LOGGER.warning("second")
    LOGGER.warning("elsewhere")
    assert stored_log(run, "fit") == ["WARNING first", "WARNING second"]


def test_limits_change_no_result():
    assert recipe(train_minutes=5).run_id == recipe().run_id

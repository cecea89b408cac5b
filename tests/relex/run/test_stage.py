"""Stages with real child processes."""

import json
import sys
from pathlib import Path

import psutil
import pytest

from relex.children import Child
from relex.config import Recipe, check_recipe
from relex.errors import StageError
from relex.home import Home
from relex.run.places import Run
from relex.run.stage import StageEnded, StageStarted, stage
from relex.storage import S3Connection
from tests.processes import command_line

SLEEPS = "import time; time.sleep(600)"


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
        "limits_minutes": limits,
    }
    return check_recipe(value, "recipe")


def run_in(folder: Path, **limits: float) -> Run:
    return Run(recipe(**limits), Home(folder), str(folder / "root"), S3Connection())


def stored_log(run: Run, name: str) -> list[str]:
    """The messages without their times."""
    lines = run.store.get(f"logs/{name}.log").decode().splitlines()
    return [line.split(" ", 2)[2] for line in lines]


def test_a_limit_ends_the_stage_and_its_child_and_says_what_to_do(tmp_path):
    run = run_in(tmp_path, train=0.01)
    words = (
        r"^train: took longer than limits_minutes\.train, 0\.01; what is done is kept: start it "
        r"again with a higher limit, or see .*/runs/toy-.*/logs/train\.log for what it waits for$"
    )
    with (
        pytest.raises(StageError, match=words),
        stage(run, "train", "Training"),
        Child([sys.executable, "-c", SLEEPS], run.warn) as child,
    ):
        run.warn("waiting")
        child.receive()
    running = psutil.Process().children(recursive=True)
    assert [each for each in running if SLEEPS in command_line(each)] == []
    assert stored_log(run, "train") == ["WARNING waiting"]


def test_a_stage_within_its_limit_is_left_alone(tmp_path):
    run = run_in(tmp_path, fit=10)
    with stage(run, "fit", "Fitting"):
        pass
    assert list(json.loads(run.store.get("seconds.json"))) == ["fit"]


def test_the_log_of_a_stage_holds_all_attempts_also_those_that_failed(tmp_path):
    run = run_in(tmp_path)
    with pytest.raises(ZeroDivisionError), stage(run, "fit", "Fitting"):
        run.warn("first")
        raise ZeroDivisionError
    (run.work / "logs" / "fit.log").unlink()  # another machine goes on
    with stage(run, "fit", "Fitting"):
        run.warn("second")
    run.warn("elsewhere")
    assert stored_log(run, "fit") == ["WARNING first", "WARNING second"]


def test_limits_change_no_result():
    assert recipe(train=5).run_id == recipe().run_id


def test_a_stage_that_fails_is_timed_and_told_too(tmp_path):
    run, events = run_in(tmp_path), []
    run.listeners.append(events.append)
    with pytest.raises(ZeroDivisionError), stage(run, "fit", "Fitting", 3):
        raise ZeroDivisionError
    started, ended = events
    assert started == StageStarted("fit", "Fitting", 3)
    assert isinstance(ended, StageEnded) and isinstance(ended.error, ZeroDivisionError)
    assert run.seconds["fit"] == ended.seconds > 0


def test_the_seconds_of_all_attempts_add_up(tmp_path):
    run, ended = run_in(tmp_path), []
    run.listeners.append(ended.append)
    for _ in range(2):
        with stage(run, "fit", "Fitting"):
            pass
    seconds = [event.seconds for event in ended if isinstance(event, StageEnded)]
    assert run.seconds == {"fit": sum(seconds)}

"""A run says how its window grows, and ends before the disk is full."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from relex.config import load_recipe
from relex.errors import ResourceError
from relex.home import Home
from relex.memory import WindowForecast
from relex.run.places import Run
from relex.run.stage import Line, Progress
from relex.run.window import _Curve
from relex.storage import S3Connection
from relex.training import SnapshotStored

RECIPES = Path(__file__).parents[3] / "deployments" / "recipes"
SIZE_BYTES = 5_000_000_000


@pytest.fixture
def lines() -> list[Line]:
    return []


@pytest.fixture
def curve(tmp_path, lines) -> _Curve:
    def listen(event) -> None:
        if isinstance(event, Line) and event.level != "detail":
            lines.append(event)

    recipe = load_recipe(RECIPES / "toy.yaml")
    run = Run(recipe, Home(tmp_path), str(tmp_path), S3Connection(), [listen])
    forecast = WindowForecast(recipe.training.kept_steps, [1e9] * 30)
    return _Curve(run, Progress(run, "train"), forecast)


def store(curve: _Curve, *steps: int) -> None:
    for step in steps:
        curve.on_event(SnapshotStored(step=step, size_bytes=SIZE_BYTES))


def test_steps_that_are_larger_than_estimated_are_told_and_a_small_disk_is_warned_of(
    curve, lines, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100e9))
    store(curve, 1, 2, 3, 4, 5)
    assert [line.level for line in lines] == ["line", "warning"]
    assert "took 5.00 times the bytes that were estimated; the rest will take" in lines[0].text
    assert "135.00 GB, and 100.00 GB are free: free some" in lines[1].text


def test_a_run_ends_before_the_disk_is_full(curve, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10e9))
    with pytest.raises(ResourceError, match=r"after step 3 only 10.00 GB are free"):
        store(curve, 1, 2, 3)

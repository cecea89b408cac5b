"""Names that come from data, in MLflow: everything is taken, and nothing falls together."""

import shutil
from pathlib import Path

import pytest
from mlflow.store.artifact.artifact_repo import verify_artifact_path
from mlflow.tracking import MlflowClient
from mlflow.utils import validation

from relex.config import BaseConfig, TrackingConfig, load_recipe
from relex.home import Home
from relex.safe_name import safe_name, safe_path
from tasks.record_values import model_name, run_title
from tasks.tracking import Tracker

TOY = Path(__file__).parents[2] / "deployments" / "recipes" / "toy.yaml"
WORDS = """
https://example.org/p https://example.org/q train/ .. . // 代数 几何 😀 $x$ [/x] a'b % pass@1
Level/5 \u202e
"""
GROUPS = (*WORDS.split(), "Level 5", "level 5", " ", "\t", "x" * 300, "x" * 301)
CONFIG = TrackingConfig(experiment="tests")


@pytest.fixture(scope="module")
def tracker(tmp_path_factory) -> Tracker:
    return Tracker(CONFIG, Home(tmp_path_factory.mktemp("home")), "run-1", "title")


@pytest.mark.parametrize("group", GROUPS, ids=ascii)
def test_mlflow_takes_the_name_of_every_group_wherever_names_stand(group: str) -> None:
    for name in (safe_path(f"accuracy_{group}"), safe_path(f"training/reward/{group}")):
        validation._validate_metric(name, 0.5, 0, 0)
        validation._validate_param(name, "value")
        validation._validate_tag(name, "value")
    verify_artifact_path(f"reward/{safe_name(group)}.py")
    validation._validate_model_name(safe_name(group))


def test_every_group_has_its_own_metric(tracker: Tracker) -> None:
    values = {f"accuracy_{group}": float(number) for number, group in enumerate(GROUPS)}
    tracker.log(values, 30)
    metrics = MlflowClient(tracker.uri).get_run(tracker.parent).data.metrics
    assert sorted(metrics.values()) == sorted(values.values())
    assert metrics["accuracy_Level 5"] == values["accuracy_Level 5"]
    for name in values:
        assert tracker.logged_steps(name) == {30}


def test_what_no_database_holds_is_written_out(tracker: Tracker) -> None:
    values = {"reward": "a\x00b\ud800", "base": "x" * 20_000}
    for _ in range(2):
        tracker.describe(values, {"relex.title": "\x00" + "y" * 20_000})
    with tracker.child("line-60", "candidate", {}) as child:
        pass
    data = MlflowClient(tracker.uri).get_run(child).data
    assert data.params["reward"] == r"a\x00b\ud800"
    assert data.tags["relex.title"].startswith(r"\x00yy")


def test_a_title_is_no_longer_than_the_column_for_it(tmp_path: Path, tracker: Tracker) -> None:
    home = Home(tmp_path)
    shutil.copyfile(tracker.uri.removeprefix("sqlite:///"), home.mlflow_database)
    recipe = load_recipe(TOY)
    term = recipe.rewards[0].model_copy(update={"params": {"pattern": "<b>\n" + "z" * 5000}})
    title = run_title(recipe.model_copy(update={"rewards": (term,)}))
    long = Tracker(CONFIG, home, "run-2", title)
    name = MlflowClient(long.uri).get_run(long.parent).info.run_name
    assert 240 < len(name) <= 250
    assert name.endswith("lr 1e-5 seed 0 (toy)")
    assert "\n" not in name


def test_models_of_two_bases_are_two(tmp_path: Path) -> None:
    recipe = load_recipe(TOY).model_copy(update={"tracking": TrackingConfig()})
    paths = ("/models/模型", "/models/型模", "/models/a:b", "/models/a_b", "/", "..", ".", "a b")
    bases = [recipe.model_copy(update={"base": BaseConfig(path=path)}) for path in paths]
    names = [model_name(base) for base in bases]
    assert len(set(names)) == len(paths)
    for name in names:
        validation._validate_model_name(name)

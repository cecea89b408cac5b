"""A run knows the steps of its window before anything is trained."""

from pathlib import Path

from relex.config import load_recipe
from relex.home import Home
from relex.run.places import Run
from relex.storage import S3Connection

RECIPES = Path(__file__).parents[3] / "deployments" / "recipes"


def run_of(recipe, home: Path) -> Run:
    return Run(recipe, Home(home), "s3://bucket", S3Connection())


def test_the_last_step_is_always_observed(tmp_path):
    run = run_of(load_recipe(RECIPES / "toy.yaml"), tmp_path)
    assert run.window_steps == tuple(range(1, 31))
    assert run.observed_steps == (10, 20, 30)
    assert run.window_uri == f"{run.uri}/window"

"""`relex train` up to the first step; whole runs are in tests/relex/training."""

from pathlib import Path

import pytest
import torch
import yaml
from typer import Typer
from typer.testing import CliRunner

from relex.cli.train import train
from relex.errors import RelexError, ResourceError, RewardError, StorageError

SHORT = {"max_completion_tokens": 8, "max_context_tokens": 64}
TOY = Path(__file__).parents[3] / "deployments" / "recipes" / "toy.yaml"


def train_error(tmp_path: Path, **changes: object) -> RelexError:
    """The error that ends `relex train` with the toy's recipe and some of its fields changed."""
    recipe = tmp_path / "changed.yaml"
    recipe.write_text(yaml.safe_dump({**yaml.safe_load(TOY.read_text()), **changes}))
    app = Typer()
    app.command()(train)
    result = CliRunner().invoke(app, [str(recipe), "--out", str(tmp_path / "run")])
    assert isinstance(result.exception, RelexError)
    return result.exception


@pytest.mark.skipif(torch.cuda.is_available(), reason="for a machine without a GPU")
def test_a_recipe_for_a_gpu_ends_before_anything_is_written(tmp_path: Path) -> None:
    error = train_error(tmp_path, device="cuda")
    assert isinstance(error, ResourceError) and "has no usable GPU" in str(error)
    assert not (tmp_path / "run").exists()


def test_a_reward_that_does_not_import_ends_before_anything_is_written(tmp_path: Path) -> None:
    error = train_error(tmp_path, rewards=[{"reward": "no_such_module:reward"}])
    assert isinstance(error, RewardError) and "does not import" in str(error)
    assert not (tmp_path / "run").exists()


def test_a_grader_that_does_not_import_ends_before_anything_is_written(tmp_path: Path) -> None:
    error = train_error(tmp_path, evaluation={**SHORT, "grader": "no_such_module:grade"})
    assert isinstance(error, RewardError) and "does not import" in str(error)
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_recipe_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text(TOY.read_text())
    error = train_error(tmp_path, device="cpu", seed=1)
    assert isinstance(error, StorageError) and "is another recipe; choose another" in str(error)

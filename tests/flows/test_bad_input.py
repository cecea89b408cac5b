"""What cannot work is told in one line, with exit code 2, before anything is trained."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
import yaml

from relex.checkpoints import TOY_BASE

Recipe = dict
TOY = Path(__file__).parents[2] / "deployments" / "recipes" / "toy.yaml"


@pytest.fixture
def refused(tmp_path, run_command) -> Callable[[Recipe], str]:
    """Runs a changed toy recipe that must be refused; gives the line that says why."""

    def run(recipe: Recipe) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))
        home = tmp_path / "home"
        result = run_command([str(path)], home)
        assert result.returncode == 2, result.stdout + result.stderr
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("relex: ")
        assert list(home.rglob("*.safetensors")) == []
        assert "RUNNING" not in mlflow_statuses(home)
        return lines[0]

    return run


def mlflow_statuses(home: Path) -> set[str]:
    """Of all that MLflow was told; empty where nothing was."""
    if not (home / "mlflow.db").exists():
        return set()
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        return {status for (status,) in database.execute("select status from runs")}


@pytest.fixture
def recipe() -> Recipe:
    return yaml.safe_load(TOY.read_text())


def toy_base_without(folder: Path, *names: str) -> str:
    folder.mkdir()
    for path in TOY_BASE.iterdir():
        if path.name not in names:
            (folder / path.name).write_bytes(path.read_bytes())
    return str(folder)


def test_an_unknown_recipe_key(refused, recipe):
    recipe["training"]["learning_rat"] = 1.0
    assert "training.learning_rat: unknown key; did you mean learning_rate?" in refused(recipe)


@pytest.mark.parametrize("target", [10, 30])
def test_a_target_that_is_not_beyond_the_window(refused, recipe, target):
    recipe["extrapolation"]["targets"] = [target]
    assert f"{target} is not beyond the window, which ends at step 30" in refused(recipe)


def test_a_reward_that_does_not_import(refused, recipe):
    recipe["rewards"] = [{"reward": "no_such_module:reward"}]
    assert "no_such_module" in refused(recipe)


def test_a_base_without_safetensors(refused, recipe, tmp_path):
    folder = toy_base_without(tmp_path / "pickled", "model.safetensors")
    torch.save({}, Path(folder) / "pytorch_model.bin")
    recipe["base"]["path"] = folder
    assert "only pickled weights (pytorch_model.bin)" in refused(recipe)


def test_a_base_without_a_tokenizer(refused, recipe, tmp_path):
    folder = toy_base_without(tmp_path / "mute", "tokenizer.json", "tokenizer_config.json")
    recipe["base"]["path"] = folder
    assert "has no tokenizer" in refused(recipe)


def test_a_bucket_that_does_not_exist(refused, recipe, s3, monkeypatch):
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", s3.connection.credentials_file)
    recipe["storage"] = {"uri": "s3://absent-bucket", "endpoint_url": s3.connection.endpoint_url}
    line = refused(recipe)
    assert "absent-bucket" in line
    assert "does not exist" in line


def test_a_bucket_that_refuses(refused, recipe, s3, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    recipe["storage"] = {"uri": s3.uri, "endpoint_url": s3.connection.endpoint_url}
    assert "refuses these credentials" in refused(recipe)


def test_an_s3_server_that_does_not_answer(refused, recipe, unused_port, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    endpoint = f"http://127.0.0.1:{unused_port}"
    recipe["storage"] = {"uri": "s3://bucket", "endpoint_url": endpoint}
    assert endpoint in refused(recipe)


def test_an_mlflow_server_that_does_not_answer(refused, recipe, unused_port):
    recipe["tracking"] = {"uri": f"http://127.0.0.1:{unused_port}"}
    assert "MLflow does not answer" in refused(recipe)


def test_train_and_test_questions_that_overlap(refused, recipe):
    recipe["problems"]["test"][0]["source"] = {"kind": "toy", "split": "train", "limit": 5}
    line = refused(recipe)
    assert "train" in line
    assert "toy" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_recipe_for_a_gpu_on_a_machine_without_one(refused, recipe):
    recipe["device"] = "cuda"
    assert "no usable GPU" in refused(recipe)

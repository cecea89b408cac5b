"""A registered model, loaded by MLflow itself in a process that knows nothing of relex."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relex.checkpoints import TOY_BASE
from relex.config import TrackingConfig, load_recipe
from relex.home import Home
from relex.run.conclude import MODEL_KIND
from relex.storage import open_store
from relex.storage.embedded import credentials_file, embedded_s3, free_port
from relex.storage.manifest import publish_folder
from tasks.record_values import run_params
from tasks.services import mlflow, running
from tasks.tracking import Tracker
from tasks.tracking_model import write_mlmodel

TOY = Path(__file__).parents[2] / "deployments" / "recipes" / "toy.yaml"
PLAIN_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR")
LOADS = """
import mlflow
pipeline = mlflow.transformers.load_model("models:/toy@champion")
print(pipeline("1+2=", max_new_tokens=8, do_sample=False)[0]["generated_text"])
model = mlflow.pyfunc.load_model("models:/toy@champion")
print(model.predict(["1+2=", "12+7="]), model.metadata.signature is not None)
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(TOY_BASE, folder)
    write_mlmodel(load_recipe(TOY), "float32", folder)
    return folder


def test_the_champion_answers_a_fresh_process_with_the_documented_variables(checkpoint, tmp_path):
    home, recipe = Home(tmp_path), load_recipe(TOY)
    with (
        embedded_s3(home.s3, "relex") as s3,
        running(mlflow(home, free_port()), home) as server,
    ):
        model = open_store("s3://relex/runs/toy-1/model", s3)
        publish_folder(model, checkpoint, MODEL_KIND, {})
        tracker = Tracker(TrackingConfig(uri=server), home, "toy-1")
        params = run_params(recipe, 30, "float32")
        logged = [tracker.log_model("toy", params, 120) for _ in range(2)]
        tracker.log({"test_accuracy": 0.9}, model=logged[0])
        version = tracker.registry.register("toy", model.uri, tracker.parent, logged[0], {})
        tracker.registry.point("champion", version)
        found = tracker._client.get_logged_model(logged[0])
        documented = {
            "MLFLOW_TRACKING_URI": server,
            "MLFLOW_S3_ENDPOINT_URL": s3.endpoint_url,
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials_file(home.s3)),
        }
        plain = {name: os.environ[name] for name in PLAIN_ENVIRONMENT if name in os.environ}
        loaded = subprocess.run(
            [sys.executable, "-c", LOADS],
            env=plain | documented,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert loaded.stdout.splitlines() == ["1+2=3", "['3', '19'] True"], loaded.stderr
    assert logged[0] == logged[1]
    assert found.params["learning_rate"] == "1e-5"
    assert [(metric.key, metric.value) for metric in found.metrics] == [("test_accuracy", 0.9)]


def test_a_database_without_a_server_links_model_and_version_too(tmp_path):
    tracker = Tracker(TrackingConfig(), Home(tmp_path), "toy-1")
    logged = tracker.log_model("toy", {"seed": 0}, 120)
    for _ in range(2):
        tracker.registry.register("toy", "s3://relex/model", tracker.parent, logged, {})
    tags = tracker._client.get_logged_model(logged).tags
    assert json.loads(tags["mlflow.modelVersions"]) == [{"name": "toy", "version": 1}]
    (made,) = tracker._client.get_run(tracker.parent).outputs.model_outputs
    assert made.model_id == logged


def test_the_folder_stays_a_checkpoint(checkpoint):
    kept = {path.name for path in TOY_BASE.iterdir()}
    added = {path.relative_to(checkpoint).parts[0] for path in checkpoint.rglob("*")} - kept
    assert added == {"MLmodel", "components"}

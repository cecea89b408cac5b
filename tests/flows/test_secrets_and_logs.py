"""One real run, with keys planted in its environment: what it leaves and shows, and where."""

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from relex.config import Recipe, check_recipe
from relex.storage.embedded import embedded_s3
from tests.flows.small import small_recipe
from tests.processes import command_line, listening
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

AWS_KEY, PASSWORD, TOKEN = "plantedaws0123456789", "planted-password-4711", "hf_plantedtoken42"
PLANTED = (AWS_KEY, PASSWORD, TOKEN)
BUCKET = "team"
STAGES = ("train", "fit", "validation", "test", "publish", "report")
NOISE = re.compile(r"\r|\x1b|\d+%\||it/s|s/it")


@dataclass
class Watched:
    """What could be seen of the processes while they ran."""

    addresses: set[str] = field(default_factory=set)
    """On which they listened."""

    commands: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Finished:
    state: str
    second_state: str
    lines: list[str]
    second_lines: list[str]
    watched: Watched
    run: Path
    """The run's objects on S3, as files."""


@pytest.fixture(scope="module")
def s3_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("planted") / "served"


@pytest.fixture(scope="module", autouse=True)
def planted(s3_folder) -> Iterator[None]:
    """A server whose secret key is known, and secrets in the environment of all that is started."""
    credentials = s3_folder.with_name(f"{s3_folder.name}.credentials")
    credentials.write_text(
        f"[default]\naws_access_key_id = somebody\naws_secret_access_key = {AWS_KEY}\n"
    )
    with embedded_s3(s3_folder, BUCKET) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_ENDPOINT_FOR_TEST", connection.endpoint_url)
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", AWS_KEY)
        patch.setenv("MLFLOW_TRACKING_USERNAME", "somebody")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        patch.setenv("HF_TOKEN", TOKEN)
        yield


def team_recipe() -> Recipe:
    """As a team runs it: S3 of their own, and whatever engine is installed."""
    recipe = small_recipe("secrets")
    endpoint = os.environ["S3_ENDPOINT_FOR_TEST"]
    recipe["storage"] = {"uri": f"s3://{BUCKET}/relex", "endpoint_url": endpoint}
    del recipe["evaluation"]["engine"]
    return check_recipe(recipe, "secrets")


@pytest.fixture(scope="module")
def finished(service, s3_folder, planted) -> Finished:
    recipe = team_recipe()
    deployment = service.deploy("relex-pipeline", "flows/pipeline.py:relex_pipeline")
    parameters = recipe.model_dump(mode="json")
    with watching(service.worker) as watched:
        first = service.start(deployment, recipe=parameters)
        work = service.home.work(recipe.run_id)
        wait_until(lambda: (work / "logs" / "train.log").exists(), "it does not train")
        second = service.start(deployment, recipe=parameters)
        second_state, state = service.wait_until_ended(second), service.wait_until_ended(first)
    return Finished(
        state=state,
        second_state=second_state,
        lines=service.logs(first),
        second_lines=service.logs(second),
        watched=watched,
        run=s3_folder / BUCKET / "relex" / "runs" / recipe.run_id,
    )


@contextlib.contextmanager
def watching(worker: psutil.Process) -> Iterator[Watched]:
    """Look at the worker and all that it starts, often."""
    watched, ended = Watched(), threading.Event()

    def look() -> None:
        while not ended.wait(0.3):
            for process in [worker, *worker.children(recursive=True)]:
                watched.commands.add(command_line(process))
                watched.addresses.update(address for address, _ in listening(process))

    thread = threading.Thread(target=look)
    thread.start()
    yield watched
    ended.set()
    thread.join()


def test_the_run_is_completed(finished):
    assert finished.state == "COMPLETED", finished.lines


def test_the_same_recipe_at_the_same_time_is_refused_in_one_line(finished):
    assert finished.second_state == "FAILED"
    found = [line for line in finished.second_lines if "works on this run" in line]
    assert any(re.search(r"secrets-\w+: process \d+ of this machine", line) for line in found)


def test_the_page_shows_the_lines_of_the_children_without_noise(finished):
    assert "snapshot of step 4 is stored" in finished.lines
    assert any("is ready after" in line for line in finished.lines)
    assert [line for line in finished.lines if NOISE.search(line)] == []


def test_the_log_of_every_stage_is_on_s3(finished):
    logs = {path.stem: path.read_text() for path in (finished.run / "logs").iterdir()}
    assert logs.keys() == set(STAGES)
    assert "snapshot of step 4 is stored" in logs["train"]
    assert "is ready after" in logs["validation"]
    assert not any(NOISE.search(log) for log in logs.values())


def test_the_report_says_where_the_logs_are(finished):
    report = (finished.run / "report" / "report.html").read_text()
    assert f"s3://{BUCKET}/relex/runs/{finished.run.name}/logs" in report


def test_what_the_worker_starts_listens_on_loopback_only(finished):
    assert finished.watched.addresses <= {"127.0.0.1", "::1"}


def test_no_secret_is_on_a_command_line(finished):
    assert finished.watched.commands
    assert [line for line in finished.watched.commands if any(key in line for key in PLANTED)] == []


def test_no_secret_is_in_any_file(finished, service, s3_folder, tmp_path_factory):
    """The databases of Prefect (with its logs and artifacts) and MLflow, all that lies on S3, the
    report, and what the servers and the worker wrote."""
    places = [s3_folder, *tmp_path_factory.getbasetemp().glob("prefect*"), service.home.root.parent]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"prefect.db", "mlflow.db", "worker.log", "report.html", "recipe.yaml"} <= names
    assert holders(files, "secrets-") != []
    assert {key: holders(files, key) for key in PLANTED} == {key: [] for key in PLANTED}


def holders(files: list[Path], text: str) -> list[str]:
    return [str(path) for path in files if text.encode() in path.read_bytes()]

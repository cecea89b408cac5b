"""Who is champion, on a real MLflow server over a database."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from transformers import AutoModelForCausalLM, AutoTokenizer

import tasks.champion
from flows.program import main
from relex.candidates import BASE
from relex.config import TrackingConfig
from relex.storage.embedded import free_port
from relex.storage.folder import FolderStore
from relex.storage.manifest import MANIFEST
from tasks.services import mlflow, running
from tasks.tracking import Tracker
from tasks.tracking_registry import CHALLENGER, CHAMPION, PREVIOUS
from tests.hub import hub_of

NUM_AT_ONCE = 6


@pytest.fixture(scope="module")
def publisher(publisher_at) -> Iterator:
    home = publisher_at("").home
    with running(mlflow(home, free_port()), home) as address:
        yield publisher_at(address)


@pytest.fixture
def aliases(publisher) -> Callable[[str], dict[str, str]]:
    client = MlflowClient(publisher.tracking)
    return lambda model: {
        alias: str(number) for alias, number in client.get_registered_model(model).aliases.items()
    }


@pytest.fixture
def fetch(publisher, monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    """`relex fetch`: exit code, and the line on standard error."""

    def run(address: str, out: Path, tracking: str = publisher.tracking) -> tuple[int, str]:
        arguments = ["relex", "fetch", address, "--out", str(out), "--tracking", tracking]
        monkeypatch.setattr(sys, "argv", arguments)
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, capsys.readouterr().err.strip()

    return run


def test_the_first_version_becomes_champion_and_says_what_it_is_made_of(publisher, aliases):
    reason = publisher.publish("first", accuracy=0.5)
    assert reason == "Version 1 of first became champion: there was none before it."
    assert aliases("first") == {CHAMPION: "1"}
    version = MlflowClient(publisher.tracking).get_model_version("first", "1")
    run = publisher.run_folder("first")
    assert version.source == f"s3://relex/runs/{run.name}/model"
    assert version.description.startswith(reason)
    assert version.tags["relex.champion_decision"] == reason
    assert version.tags["relex.run_id"] == run.name
    assert version.tags["relex.candidate"] == "observed-4"
    assert version.tags["relex.window_digest"] == "digest"
    digests = ("recipe", "base", "factors", "manifest", "scores", "questions")
    assert all(len(version.tags[f"relex.{name}_digest"]) == 64 for name in digests)


def test_a_better_challenger_takes_over_and_the_champion_before_is_kept(publisher, aliases):
    publisher.publish("better", accuracy=0.4)
    reason = publisher.publish("better", accuracy=0.9, seed=1)
    assert reason.startswith(
        "Version 2 of better became champion: on the same 30 questions of toy version 2 of better "
        "is right in 0."
    )
    assert "which is more than chance explains (p = 0.0001; the limit is 0.05)." in reason
    assert aliases("better") == {CHAMPION: "2", PREVIOUS: "1"}


def test_a_challenger_that_is_better_by_chance_only_does_not(publisher, aliases):
    publisher.publish("equal", accuracy=0.5)
    reason = publisher.publish("equal", accuracy=0.52, seed=1)
    assert reason.startswith("Version 1 of equal stays champion: on the same 30 questions of toy")
    assert "which is not more than chance explains" in reason
    assert aliases("equal") == {CHAMPION: "1", CHALLENGER: "2"}


def test_a_challenger_that_is_clearly_worse_is_called_so(publisher, aliases):
    publisher.publish("worse", accuracy=0.9)
    reason = publisher.publish("worse", accuracy=0.2, seed=1)
    assert reason.startswith("Version 1 of worse stays champion: on the same 30 questions of toy")
    assert reason.endswith("], which is clearly worse.")
    assert aliases("worse") == {CHAMPION: "1", CHALLENGER: "2"}


def test_a_run_that_made_the_model_worse_registers_nothing(publisher, aliases):
    publisher.publish("harmed", accuracy=0.5)
    reason = publisher.publish("harmed", accuracy=0.99, seed=1, chosen=BASE)
    assert reason == ("No version is registered: nothing that was trained is better than the base.")
    assert aliases("harmed") == {CHAMPION: "1"}
    versions = MlflowClient(publisher.tracking).search_model_versions("name = 'harmed'")
    assert len(versions) == 1


def test_publishing_again_changes_nothing(publisher, aliases):
    publisher.publish("again", accuracy=0.4)
    reason = publisher.publish("again", accuracy=0.9, seed=1)
    before = aliases("again")
    assert publisher.publish("again", accuracy=0.9, seed=1) == reason
    assert aliases("again") == before
    versions = MlflowClient(publisher.tracking).search_model_versions("name = 'again'")
    assert len(versions) == 2


@pytest.mark.slow
def test_a_champion_of_other_questions_is_measured_on_the_challengers(publisher, aliases):
    publisher.publish("other", accuracy=0.99)
    reason = publisher.publish("other", accuracy=0.99, samples=2)
    # 0.99 was made up; the toy's base is right half of the time.
    assert reason.startswith("Version 2 of other became champion: on the same 30 questions of toy")
    assert aliases("other") == {CHAMPION: "2", PREVIOUS: "1"}


def test_a_champion_that_cannot_be_compared_stays(publisher, aliases):
    publisher.publish("lost", accuracy=0.1)
    shutil.rmtree(publisher.run_folder("lost"))
    reason = publisher.publish("lost", accuracy=0.9, seed=1)
    assert reason.startswith(
        "Version 1 of lost stays champion: it cannot be compared with version 2 of lost (version 1 "
        "of lost: was kept in the folder "
    )
    assert aliases("lost") == {CHAMPION: "1", CHALLENGER: "2"}


def test_a_champion_that_came_meanwhile_is_the_one_to_beat(publisher, aliases, monkeypatch):
    publisher.publish("race", accuracy=0.1)
    compare = tasks.champion._contest

    def overtaken(contest, champion):
        monkeypatch.setattr(tasks.champion, "_contest", compare)
        outcome = compare(contest, champion)
        publisher.publish("race", accuracy=0.99, seed=2)
        return outcome

    monkeypatch.setattr(tasks.champion, "_contest", overtaken)
    reason = publisher.publish("race", accuracy=0.6, seed=1)
    assert reason.startswith("Version 3 of race stays champion: on the same 30 questions of toy")
    assert aliases("race") == {CHAMPION: "3", PREVIOUS: "1", CHALLENGER: "2"}


def test_no_version_is_lost_when_many_register_at_once(publisher):
    config = TrackingConfig(uri=publisher.tracking)
    trackers = [Tracker(config, publisher.home, f"run-{n}") for n in range(NUM_AT_ONCE)]

    def register(tracker: Tracker) -> str:
        model = tracker.log_model("crowd", {}, 1)
        registry = tracker.registry
        return registry.register("crowd", "s3://bucket/model", tracker.parent, model, {}).number

    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        numbers = list(pool.map(register, trackers))
    assert sorted(numbers) == [str(n + 1) for n in range(NUM_AT_ONCE)]


def test_what_is_fetched_is_what_was_published_and_loads(publisher, fetch, tmp_path):
    publisher.publish("fetched", accuracy=0.5)
    out = tmp_path / "model"
    assert fetch("models:/fetched@champion", out) == (0, "")
    published = publisher.run_folder("fetched") / "model"
    names = {path.name for path in published.iterdir()}
    assert {path.name for path in out.iterdir()} == names
    assert all(
        (out / name).read_bytes() == (published / name).read_bytes() for name in names - {MANIFEST}
    )
    assert "vllm serve MODEL --dtype bfloat16" in (out / "README.md").read_text()
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(out)
    ids = model.generate(
        **tokenizer("3+4=", return_tensors="pt"), max_new_tokens=4, do_sample=False
    )
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == "3+4=7"
    assert fetch("models:/fetched/1", tmp_path / "by-number") == (0, "")
    code, line = fetch("models:/fetched/1", out)
    assert (code, line) == (
        2,
        f"relex: {out}: exists already; choose another folder or remove it first",
    )


@pytest.mark.slow
def test_what_is_fetched_can_be_pushed_to_the_hub(publisher, tmp_path):
    publisher.publish("pushed", accuracy=0.5)
    out, hub = tmp_path / "model", tmp_path / "hub"
    program = [sys.executable, "-c", "from flows.program import main; main()", "fetch"]
    options = ["--out", str(out), "--tracking", publisher.tracking, "--public", "--push-to-hub"]
    command = [*program, "models:/pushed@champion", *options]
    refused = subprocess.run([*command, "model"], capture_output=True, text=True)
    expected = (2, "relex: --push-to-hub model: is no repository; write OWNER/NAME\n")
    assert (refused.returncode, refused.stderr) == expected
    assert not out.exists()
    with hub_of(hub) as server:
        variables = server.variables(tmp_path / "home")
        done = subprocess.run([*command, "me/model"], env=variables, capture_output=True, text=True)
        last = done.stdout.splitlines()[-1]
        assert last.startswith(f"pushed to {server.address}/me/model/commit/"), done.stderr
    there = hub / "models/me/model/main"
    assert (there / ".visibility").read_text() == "public"
    assert all((there / path.name).read_bytes() == path.read_bytes() for path in out.iterdir())


def test_what_cannot_be_fetched_is_told(publisher, fetch, tmp_path):
    publisher.publish("told", accuracy=0.5)
    out, server = tmp_path / "model", publisher.tracking
    known = ", ".join(m.name for m in MlflowClient(server).search_registered_models())
    messages = {
        "models:/tolt@champion": f"MLflow at {server}: no model is registered as tolt; there is "
        f"{known}",
        "models:/told@best": f"MLflow at {server}: told has no alias best; it has champion. A "
        "version can also be named: models:/told/1",
        "models:/told/7": f"MLflow at {server}: told has no version 7; it has 1",
        "told@champion": "told@champion: is no address of a model; write models:/NAME@champion or "
        "models:/NAME/VERSION",
    }
    assert {address: fetch(address, out) for address in messages} == {
        address: (2, f"relex: {message}") for address, message in messages.items()
    }
    nowhere = f"http://127.0.0.1:{free_port()}"
    code, line = fetch("models:/told@champion", out, nowhere)
    assert code == 2
    assert line.startswith(f"relex: tracking.uri {nowhere}: MLflow does not answer (")
    absent = f"sqlite:///{tmp_path}/absent.db"
    code, line = fetch("models:/told@champion", out, absent)
    assert line == (
        f"relex: {absent}: there is no such database; give the address of the MLflow server that "
        "recorded the run (--tracking), or set RELEX_HOME to the home of the run"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_or_interrupted_fetch_leaves_nothing(publisher, fetch, tmp_path, monkeypatch):
    publisher.publish("damaged", accuracy=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "get_file", interrupt)
        assert fetch("models:/damaged/1", tmp_path / "model") == (
            130,
            "relex: interrupted; start it again with the same command",
        )
    weights = publisher.run_folder("damaged") / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    code, line = fetch("models:/damaged/1", tmp_path / "model")
    assert code == 2
    assert f"{weights}: damaged: expected" in line
    assert list(tmp_path.iterdir()) == []


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt

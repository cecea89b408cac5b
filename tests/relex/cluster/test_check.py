"""What nodes have is compared with this machine; what differs is refused in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.cluster import Wanted
from relex.cluster.check import compare
from relex.cluster.look import READ_THERE, Found, look
from relex.config import Recipe, check_recipe, check_run_recipe, load_recipe
from relex.errors import ResourceError
from relex.machine import planned_machine
from relex.problems import load_problems, problems_digest

RECIPES = Path(__file__).parents[3] / "deployments" / "recipes"
TOY = load_recipe(RECIPES / "toy.yaml")
BASE_DIGEST, OTHER = Checkpoint(TOY_BASE).digest(), "0" * 64
HERE = Found(
    versions={"python": "3.11.7", "torch": "2.13.0"},
    digests={"base toy": BASE_DIGEST},
    machine=planned_machine(80, 8),
    free_bytes=10**12,
)


def changed(**sections: dict[str, object]) -> Recipe:
    """The toy's recipe with other fields in sections of it."""
    given = TOY.model_dump(mode="json", exclude_unset=True)
    return check_recipe(given | {name: given[name] | its for name, its in sections.items()}, "toy")


def test_this_machine_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "marker").write_bytes(b"relex")
    found = look(Wanted(storage=str(tmp_path), marker="marker", recipe=TOY, trains=True))
    assert found.fault == ""
    questions = problems_digest(load_problems(TOY.problems.train))
    assert found.digests == {"base toy": BASE_DIGEST, "training questions toy": questions}
    assert found.versions.keys() >= {"python", "code", "torch", "transformers"}
    assert found.machine.host_bytes > 0 and found.free_bytes > 0


def test_a_storage_that_is_not_reached_is_a_fault(tmp_path: Path) -> None:
    fault = look(Wanted(storage=str(tmp_path), marker="marker")).fault
    assert "marker: cannot be read" in fault and "set storage.uri to such a bucket" in fault


def test_a_window_of_a_folder_that_is_not_there_is_a_fault() -> None:
    fault = look(Wanted(recipe=TOY, window="/nowhere/window")).fault
    assert "/nowhere/window" in fault and fault.endswith(READ_THERE)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"base": {"path": "/nowhere/base"}}, "base '/nowhere/base'"),
        (
            {"problems": {"train": {"kind": "jsonl", "path": "/nowhere/t.jsonl"}}},
            "/nowhere/t.jsonl: ",
        ),
        ({"evaluation": {"engine": "nowhere:Engine"}}, "engine nowhere:Engine: there is no module"),
        ({"training": {"trainer": "nowhere:train"}}, "trainer nowhere:train: there is no module"),
    ],
)
def test_what_a_run_reads_and_is_not_there_is_a_fault(sections: Any, words: str) -> None:
    fault = look(Wanted(recipe=changed(**sections))).fault
    assert fault.startswith(words) and fault.endswith(READ_THERE)


def test_the_content_of_what_is_read_there_counts(tmp_path: Path) -> None:
    path, found = tmp_path / "t.jsonl", []
    for answer in ("4", "5"):
        path.write_text(json.dumps({"question": "2+2=", "answer": answer}))
        recipe = changed(problems={"train": {"kind": "jsonl", "path": str(path)}})
        found.append(look(Wanted(recipe=recipe)))
    with pytest.raises(ResourceError, match=rf"has another training questions {path}: digest"):
        compare("node 10.0.0.2", *found)


def test_a_node_that_cannot_train_is_a_fault_where_it_may_have_to(monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert look(Wanted(recipe=TOY)).fault == ""
    fault = look(Wanted(recipe=TOY, trains=True)).fault
    assert fault.startswith("ACCELERATE_USE_FSDP is set: ") and fault.endswith("; unset it")


def test_a_reward_that_does_not_work_on_a_node_that_trains_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more.py").write_text("import not_installed_here\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = check_recipe(
        TOY.model_dump(mode="json", exclude_unset=True)
        | {"rewards": [{"reward": "needs_more:pay"}]},
        "toy",
    )
    assert look(Wanted(recipe=recipe)).fault == ""
    fault = look(Wanted(recipe=recipe, trains=True)).fault
    assert fault.startswith("reward needs_more:pay: ") and "not_installed_here" in fault


def test_what_is_wanted_reaches_a_node_as_it_was_said() -> None:
    content = changed().model_dump(mode="json", exclude_unset=True)
    for section in ("training", "rewards"):
        del content[section]
    del content["problems"]["train"]
    taken = check_run_recipe(content | {"window": {"uri": "w"}}, "taken")
    for recipe in (TOY, taken):
        wanted = Wanted(recipe=recipe, window="w")
        assert Wanted.model_validate(wanted.model_dump(mode="json")) == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"versions": {"python": "3.11.7", "torch": "2.12.0"}},
            r"^node 10\.0\.0\.2: has torch 2\.12\.0 \(here 2\.13\.0\); install the same",
        ),
        ({"versions": {"python": "3.11.7"}}, r"has torch none \(here 2\.13\.0\)"),
        ({"fault": "s3://b: refused; so"}, r"^node 10\.0\.0\.2: s3://b: refused; so$"),
        (
            {"digests": {"base toy": OTHER}},
            rf"has another base toy: digest {OTHER[-12:]}, here {BASE_DIGEST[-12:]}; give the same",
        ),
    ],
)
def test_what_differs_is_named(change: dict[str, object], message: str) -> None:
    compare("node 10.0.0.2", HERE, HERE)
    with pytest.raises(ResourceError, match=message):
        compare("node 10.0.0.2", HERE.model_copy(update=change), HERE)


def test_the_command_without_a_cluster_says_what_to_set() -> None:
    command = [sys.executable, "-m", "flows.program", "cluster", "check"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("relex: RELEX_CLUSTER: is not set; give HOST:PORT")

"""Places that refuse to be written end in one line that names them, and nothing is lost.

A place below a file refuses whoever asks, also a superuser, for whom no folder is read-only.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relex.checkpoints import TOY_BASE
from relex.claim import claimed_here, one_at_a_time
from relex.errors import StorageError
from relex.home import make_home
from relex.storage import open_store
from relex.storage.atomic import new_folder, write_atomic

RELEX = "from relex.cli.app import main; main()"
LONG = "x" * 300


@pytest.fixture(params=["file/inside", LONG])
def refusing(request, tmp_path) -> Path:
    (tmp_path / "file").write_text("mine")
    return tmp_path / request.param


WRITES = {
    "a folder": lambda place: new_folder(place / "out").__enter__(),
    "a file": lambda place: write_atomic(place / "out", b"a"),
    "an object": lambda place: open_store(str(place)).put("out", b"a"),
    "an object from a file": lambda place: open_store(str(place)).put_file(
        "out", TOY_BASE / "config.json"
    ),
    "a lock": lambda place: claimed_here(place / "a.lock", "run").__enter__(),
    "a lock that is waited for": lambda place: one_at_a_time(place / "a.lock").__enter__(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_place_that_refuses_is_named(refusing, tmp_path, write) -> None:
    with pytest.raises(StorageError, match=r"cannot be written: (Not a directory|File name too)"):
        write(refusing)
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_home_that_refuses_is_named(refusing, monkeypatch) -> None:
    monkeypatch.setenv("RELEX_HOME", str(refusing))
    with pytest.raises(StorageError, match="cannot be written"):
        make_home()


def test_a_folder_that_cannot_be_renamed_leaves_nothing(tmp_path) -> None:
    with (
        pytest.raises(StorageError, match="out: cannot be written: "),
        new_folder(tmp_path / "out") as partial,
    ):
        (partial / "a").write_text("a")
        (tmp_path / "out").mkdir()
        (tmp_path / "out/theirs").write_text("theirs")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "out",
        "out/theirs",
    ]


@pytest.fixture
def run(tmp_path) -> Path:
    """Two checkpoints of one weight, and their base."""
    for name, value in [("base", 0.0), ("steps/step_1", 0.5), ("steps/step_2", 1.0)]:
        (tmp_path / "run" / name).mkdir(parents=True)
        weights = {"a.weight": torch.full((2, 2), value)}
        save_file(weights, tmp_path / "run" / name / "model.safetensors", {"format": "pt"})
        (tmp_path / "run" / name / "config.json").write_text("{}")
        (tmp_path / "run" / name / "tokenizer.json").write_text("{}")
    return tmp_path / "run"


COMMANDS = {
    "fit": ["fit", "{run}/steps", "--base", "{run}/base", "--out", "{place}/x"],
    "extrapolate": [
        *("extrapolate", "{run}/steps", "--base", "{run}/base"),
        *("--step", "9", "--out", "{place}/x"),
    ],
    "pack": ["window", "pack", "{run}/steps", "--base", "{run}/base", "--out", "{place}/x"],
    "unpack": [
        *("window", "unpack", "{run}/steps", "--base", "{run}/base"),
        *("--step", "1", "--out", "{place}/x"),
    ],
    "train": ["train", "{recipe}", "--out", "{place}/x"],
    "train, its work": ["train", "{recipe}", "--out", "{run}/x"],
}


@pytest.mark.parametrize(
    "refusing", ["file/inside", pytest.param(LONG, marks=pytest.mark.slow)], indirect=True
)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_ends_in_one_line(run, refusing, command) -> None:
    recipe = Path(__file__).parents[2] / "deployments/recipes/toy-small.yaml"
    done = subprocess.run(
        [
            *(sys.executable, "-c", RELEX),
            *(word.format(run=run, place=refusing, recipe=recipe) for word in command),
        ],
        env={**os.environ, "RELEX_HOME": str(refusing)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"relex: {refusing}" in done.stderr and "cannot be " in done.stderr

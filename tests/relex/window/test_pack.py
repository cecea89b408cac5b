"""Other people's checkpoints become windows, from wherever they are."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.errors import UploadError, WindowError
from relex.storage import open_store
from relex.window import check_window, open_source, open_window, pack, unpack
from relex.window.sources import FolderSource
from tests.hub import HubServer, hub_of
from tests.snapshots import READS_IN_PLACE, folder_source

STEPS = (1, 2, 10)
RELEX = "from relex.cli.app import main; main()"


def toy_at(step: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(step)
    return {
        name: tensor + (torch.rand(tensor.shape, generator=random) < 0.02) * 0.01
        for name, tensor in load_file(TOY_BASE / "model.safetensors").items()
    }


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return Checkpoint(TOY_BASE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A trainer's folder, one step nested as verl writes it."""
    root = tmp_path_factory.mktemp("run")
    for step in STEPS:
        inside = root / f"global_step_{step}" / ("actor/huggingface" if step == 2 else "")
        inside.mkdir(parents=True)
        save_file(toy_at(step), inside / "model.safetensors", {"format": "pt"})
    return root


def assert_holds_the_steps(uri: str, connection, base: Checkpoint) -> None:
    window = open_window(uri, connection, base)
    assert window.steps == STEPS
    for step in STEPS:
        for name, expected in toy_at(step).items():
            found = window.read(step, name)
            assert found.dtype == expected.dtype
            assert torch.equal(found, expected.view(-1))


def test_a_folder_of_checkpoints_is_packed_bit_for_bit(folder, base, tmp_path):
    pack(open_source(str(folder), None, tmp_path), base, open_store(str(tmp_path / "window")))
    assert_holds_the_steps(str(tmp_path / "window"), None, base)


def test_checkpoints_on_s3_are_packed_where_they_are(folder, base, s3, tmp_path):
    store = s3.store("run")
    for path in folder.rglob("*.safetensors"):
        store.put_file(path.relative_to(folder).as_posix(), path)
    source = open_source(f"{s3.uri}/run", s3.connection, tmp_path)
    pack(source, base, s3.store("window"))
    assert_holds_the_steps(f"{s3.uri}/window", s3.connection, base)


def test_pickled_checkpoints_on_s3_are_refused(s3, tmp_path):
    s3.store("run").put("checkpoint-1/pytorch_model.bin", b"pickle")
    with pytest.raises(WindowError, match=r"checkpoint-1: has only pickled weights"):
        open_source(f"{s3.uri}/run", s3.connection, tmp_path)


def test_a_packed_step_is_unpacked_to_the_bytes_that_the_trainer_saved(folder, base, tmp_path):
    pack(folder_source(folder), base, open_store(str(tmp_path / "window")))
    unpack(open_window(str(tmp_path / "window"), base=base), 10, base, tmp_path / "out")
    found = (tmp_path / "out/model.safetensors").read_bytes()
    assert found == (folder / "global_step_10/model.safetensors").read_bytes()


def test_packing_goes_on_where_it_was_interrupted(folder, base, tmp_path):
    class Interrupted(FolderSource):
        def open(self, step):
            if step == 10:
                raise UploadError("the network is gone")
            return super().open(step)

    store = open_store(str(tmp_path / "window"))
    with pytest.raises(UploadError):
        pack(Interrupted(folder, READS_IN_PLACE), base, store)
    assert open_window(store.uri, base=base).steps == (1, 2)
    seen = []
    pack(folder_source(folder), base, store, on_progress=lambda *done: seen.append(done))
    assert seen == [(2, 3), (3, 3)]
    assert_holds_the_steps(store.uri, None, base)


def test_quantised_checkpoints_are_refused(base, checkpoints, tmp_path):
    quantised = {name: tensor.to(torch.int8) for name, tensor in toy_at(1).items()}
    source = folder_source(checkpoints({"step_1": quantised}))
    with pytest.raises(WindowError, match=r"step 1: .*the weights are quantised"):
        pack(source, base, open_store(str(tmp_path / "window")))


def test_a_hub_that_cannot_be_reached_is_one_line(base, tmp_path):
    command = ["window", "pack", "them/run", "--base", TOY_BASE, "--out", tmp_path / "window"]
    refused = subprocess.run(
        [sys.executable, "-c", RELEX, *map(str, command)],
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("relex: them/run: neither a folder nor a readable repository")
    assert refused.stderr.count("\n") == 1


@pytest.fixture
def hub(tmp_path) -> Iterator[HubServer]:
    """A Hub with one repository whose branches are steps."""
    for step in STEPS:
        branch = tmp_path / "hub/models/them/run" / f"step_{step}"
        branch.mkdir(parents=True)
        save_file(toy_at(step), branch / "model.safetensors", {"format": "pt"})
        (branch / "README.md").write_text("not needed")
    with hub_of(tmp_path / "hub") as server:
        yield server


def test_branches_of_a_hub_repository_are_packed(hub, base, tmp_path):
    command = ["window", "pack", "them/run", "--base", TOY_BASE, "--out", tmp_path / "window"]
    packed = subprocess.run(
        [sys.executable, "-c", RELEX, *map(str, command)],
        env=hub.variables(tmp_path / "home"),
        capture_output=True,
        text=True,
    )
    assert packed.stdout == f"{tmp_path / 'window'}: 3 steps from 1 to 10\n", packed.stderr
    assert_holds_the_steps(str(tmp_path / "window"), None, base)
    assert check_window(str(tmp_path / "window"), base=base) == 3

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.cli.window import window_app
from relex.errors import WindowError
from relex.storage import open_store
from relex.window import open_writer
from relex.window.codec import TensorsAtHand

STEPS = (1, 2)


@pytest.fixture
def window(tmp_path) -> str:
    store = open_store(str(tmp_path / "window"))
    writer = open_writer(store, Checkpoint(TOY_BASE), "bfloat16", STEPS)
    base = load_file(TOY_BASE / "model.safetensors")
    for step in STEPS:
        moved = {name: tensor + step for name, tensor in base.items()}
        writer.append(step, TensorsAtHand(moved))
    writer.finish()
    return store.uri


def run(*arguments: object) -> str:
    result = CliRunner().invoke(window_app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_ls_lists_every_step_and_the_whole_size(window):
    lines = run("ls", window).splitlines()
    assert [line.split("│")[1].strip() for line in lines if line.startswith("│")] == ["1", "2"]
    assert lines[-1] == f"{window}: 2 steps, 3.2 MB"


def test_verify_tells_that_every_digest_is_right(window):
    assert run("verify", window) == f"{window}: 2 steps, every digest is right\n"


def test_unpack_writes_a_checkpoint_of_the_step(window, tmp_path):
    run("unpack", window, "--step", 2, "--base", TOY_BASE, "--out", tmp_path / "out")
    base, found = Checkpoint(TOY_BASE), Checkpoint(tmp_path / "out")
    for name in base.tensors:
        assert torch.equal(found.read_tensor(name), base.read_tensor(name) + 2)


def test_unpack_refuses_a_base_of_another_run(window, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    base = load_file(TOY_BASE / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in base.items()}, other / "model.safetensors")
    with pytest.raises(WindowError, match="was made from another base"):
        run("unpack", window, "--step", 2, "--base", other, "--out", tmp_path / "out")

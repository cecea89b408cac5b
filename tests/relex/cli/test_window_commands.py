import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer import BadParameter
from typer.testing import CliRunner

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.cli.window import window_app
from relex.errors import WindowError
from relex.storage import open_store
from relex.window import open_writer
from tests.snapshots import TensorsAtHand

STEPS = (1, 2)
PARAMETERS = sum(info.num_elements for info in Checkpoint(TOY_BASE).tensors.values())


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


def test_ls_lists_every_step_with_its_kind_and_the_whole_size(window):
    lines = run("ls", window).splitlines()
    rows = [words for line in lines if (words := line.split()) and words[0].isdigit()]
    assert [row[:2] for row in rows] == [["1", "delta"], ["2", "delta"]]
    total = sum(path.stat().st_size for path in Path(window, "steps").iterdir())
    assert lines[-1] == (
        f"{window}: 2 steps, bfloat16, {total / 1e6:.3f} MB, {total / (4 * PARAMETERS):.2%} of the "
        f"{4 * PARAMETERS / 1e6:.3f} MB of checkpoints"
    )


def test_a_window_of_the_homes_own_server_is_found_by_its_address(window, tmp_path, monkeypatch):
    monkeypatch.setenv("RELEX_HOME", str(tmp_path / "home"))
    shutil.copytree(window, tmp_path / "home" / "s3" / "relex" / "runs" / "toy-1" / "window")
    lines = run("ls", "s3://relex/runs/toy-1/window").splitlines()
    assert "2 steps, bfloat16" in lines[-1]


def test_ls_tells_how_many_steps_of_an_unfinished_window_are_safe(window):
    open_writer(open_store(window), Checkpoint(TOY_BASE), "bfloat16", STEPS).drop_after(1)
    assert run("ls", window).splitlines()[-1].startswith(f"{window}: 1 of 2 planned steps, ")


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ([], "every digest is right"),
        (["--quick"], "every size is right"),
        (["--full", "--base", TOY_BASE], "every digest is right, and every step replays"),
    ],
)
def test_verify_tells_what_it_has_found_right(window, options, finding):
    assert run("verify", window, *options) == f"{window}: 2 steps, {finding}\n"


def test_a_full_verification_asks_for_the_base(window):
    with pytest.raises(BadParameter, match="--full needs --base"):
        window_app(["verify", window, "--full"], standalone_mode=False)


def test_pack_makes_a_window_that_is_verified(tmp_path):
    steps = tmp_path / "run"
    for step in STEPS:
        shutil.copytree(TOY_BASE, steps / f"checkpoint-{step}")
    out = tmp_path / "packed"
    packed = run("pack", steps, "--base", TOY_BASE, "--out", out)
    assert packed == f"{out}: 2 steps from 1 to 2\n"
    assert "every digest is right" in run("verify", out)


def test_rm_shows_what_it_would_remove_and_then_removes_it(window):
    shown = run("rm", window, "--dry-run").splitlines()
    assert shown[0] == f"{window}/steps/step_000001.safetensors"
    assert shown[-2:] == [f"{window}/manifest.json", f"{window}: 3 files would be removed"]
    assert (Path(window) / "manifest.json").is_file()
    assert run("rm", window).splitlines()[-1] == f"{window}: 3 files removed"
    assert not list(Path(window).rglob("*.*"))


def test_rm_says_what_it_left(window):
    for number in range(12):
        (Path(window) / f"{number:02d}.txt").write_text("mine")
    named = ", ".join(f"{number:02d}.txt" for number in range(10))
    left = f"{window}: left 12 files not of the window: {named}, ..."
    assert run("rm", window, "--dry-run").splitlines()[-1] == left
    assert run("rm", window).splitlines()[-1] == left
    assert len(list(Path(window).glob("*.txt"))) == 12


def test_clean_removes_the_file_of_a_killed_writer_and_says_what_it_left(window):
    open_writer(open_store(window), Checkpoint(TOY_BASE), "bfloat16", STEPS).drop_after(1)
    orphan, mine = (Path(window) / f"steps/step_00000{step}.safetensors" for step in (2, 3))
    for path in (orphan, mine):
        path.write_bytes(b"half")
    left = f"{window}: left 1 file not of the window: steps/{mine.name}"
    assert run("clean", window, "--dry-run").splitlines()[0] == str(orphan)
    assert run("clean", window).splitlines()[1:] == [f"{window}: 1 file removed", left]
    assert mine.exists() and not orphan.exists()


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

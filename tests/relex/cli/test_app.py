"""`relex fit`, `inspect` and `predict` on the golden trajectory, and on bad input."""

import inspect
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
import typer
from safetensors.torch import load_file

from relex.cli.app import COMMANDS, main
from relex.cli.commands import summary_of
from relex.config import BENCHMARKS
from relex.extrapolation import Diagnostics, diagnose, open_factors

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"
BASE, STEPS = str(GOLDEN / "base"), str(GOLDEN / "steps")
REPOSITORY = Path(__file__).parents[3]
COMMAND = [sys.executable, "-c", "from relex.cli.app import main; main()"]
INTERRUPTED = 130


@dataclass
class Result:
    exit_code: int
    out: str
    error: str


Relex = Callable[..., Result]


@pytest.fixture
def relex(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Relex:
    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["relex", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        assert end.value.code is None or isinstance(end.value.code, int)
        return Result(end.value.code or 0, output.out, output.err)

    return run


@pytest.fixture
def factors(relex: Relex, tmp_path: Path) -> Path:
    result = relex("fit", STEPS, "--base", BASE, "--out", tmp_path / "factors", "--device", "cpu")
    assert (result.exit_code, result.error) == (0, "")
    return tmp_path / "factors"


def test_fit_then_predict_gives_the_reference_checkpoint(relex, factors, tmp_path) -> None:
    out = tmp_path / "out"
    result = relex("predict", factors, "--base", BASE, "--step", 50, "--out", out)
    assert result.exit_code == 0
    expected = load_file(GOLDEN / "float64" / "extrapolate-rank1-step50.safetensors")
    found = load_file(out / "model.safetensors")
    num_different = sum(int((found[name] != expected[name]).sum()) for name in expected)
    assert num_different <= 1
    assert (out / "tokenizer.json").is_file()


def test_inspect_fits_an_80_column_terminal(relex, factors) -> None:
    lines = relex("inspect", factors).out.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert lines[0].startswith("12 steps from 1 to 12, rank 1, 24 tensors, 2 of them never moved")


def test_inspect_json_holds_every_tensor(relex, factors) -> None:
    summary = json.loads(relex("inspect", factors, "--json").out)
    shares = [q["explained_fraction"] for q in summary["tensors"].values()]
    assert len(shares) == 24
    assert min(share for share in shares if share is not None) == pytest.approx(0.861466, abs=1e-6)
    assert 0.9 < summary["overall"]["r2"] <= 1
    found = Diagnostics.model_validate(summary)
    assert found == diagnose(open_factors(factors).table)
    assert found.held_out_steps == (10, 11, 12)
    assert found.anomalies == ()


def test_inspect_draws_pictures_beside_the_json(relex, factors, tmp_path) -> None:
    result = relex("inspect", factors, "--json", "--plot", tmp_path / "pictures", "--target", 50)
    assert list(json.loads(result.out)["overall"]["predicted_size"]) == ["50"]
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert names == {"spectrum.png", "coefficients.png", "heatmap.png"}


def test_inspect_says_what_to_believe_first(relex, factors) -> None:
    lines = relex("inspect", factors).out.splitlines()
    assert lines[1].startswith("The line forecasts steps 10 to 12 no better than staying at step 9")


def test_inspect_refuses_a_target_in_the_window(relex, factors) -> None:
    result = relex("inspect", factors, "--target", 12)
    assert result.exit_code == 2
    assert "step 12 is not beyond the window" in result.error


def test_fit_and_extrapolate_warn_of_a_repeated_snapshot(relex, tmp_path) -> None:
    steps = tmp_path / "steps"
    for step in (1, 2, 3, 4, 5):
        source = Path(STEPS) / f"global_step_{min(step, 4)}"
        shutil.copytree(source, steps / f"global_step_{step}")
    options = ["--base", BASE, "--device", "cpu", "--out"]
    fitted = relex("fit", steps, *options, tmp_path / "factors")
    extrapolated = relex("extrapolate", steps, *options, tmp_path / "out", "--step", 9)
    for result in (fitted, extrapolated):
        assert result.exit_code == 0
        assert result.error.startswith("relex: warning: step 5 has the weights of step 4")
        assert result.error.count("\n") == 1


def test_fit_takes_the_steps_asked_for(relex, tmp_path) -> None:
    out = tmp_path / "factors"
    options = ["--steps", "3:6", "--rank", 2, "--memory-gb", "0.01", "--device", "cpu"]
    assert relex("fit", STEPS, "--base", BASE, "--out", out, *options).exit_code == 0
    assert json.loads((out / "factors.json").read_text())["steps"] == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "3-6"], "relex: --steps '3-6': write the first and the last step"),
        (["--steps", "6:3"], "relex: --steps '6:3': write the first and the last step"),
        (["--steps", "1:75"], "ends at step 12, asked for steps up to 75"),
        (["--steps", "3:3"], "has 1 snapshots in steps 3 to 3; a line needs at least two"),
        (["--rank", "13"], "rank 13 is impossible with 12 snapshots"),
        (["--device", "abacus"], "is not one of 'auto', 'cpu', 'cuda'"),
        (["--colour", "red"], "relex: No such option: --colour"),
        (["--base", STEPS], "has no weights"),
    ],
)
def test_bad_input_of_fit_is_one_line_and_exit_code_2(relex, tmp_path, options, message) -> None:
    result = relex("fit", STEPS, "--base", BASE, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in result.error
    assert result.error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_target_inside_the_window_is_one_line_and_exit_code_2(relex, factors, tmp_path) -> None:
    result = relex("predict", factors, "--base", BASE, "--step", 12, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "step 12 is not beyond the window, which ends at step 12" in result.error
    assert not (tmp_path / "out").exists()


def test_no_command_shows_the_help(relex) -> None:
    result = relex()
    assert (result.exit_code, result.error) == (0, "")
    assert result.out == relex("--help").out


def test_help_names_every_command(relex) -> None:
    result = relex("--help")
    assert result.exit_code == 0
    for command in ("train", "window", "fit", "inspect", "predict", "evaluate"):
        assert f" {command} " in result.out


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("relex wi", ["window"]), ("relex window un", ["unpack"]), ("relex fit --ra", ["--rank"])],
)
def test_a_shell_is_told_how_a_command_goes_on(monkeypatch, relex, typed, completed) -> None:
    monkeypatch.setenv("_RELEX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert relex().out.split() == completed


@pytest.mark.parametrize("arguments", [[], ["--version"], ["--help"], ["no-such-command"]])
def test_what_needs_no_command_imports_none(arguments) -> None:
    program = "import sys, atexit; from relex.cli.app import main\n"
    program += "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert ended.stderr.splitlines()[-1] == "False"


def test_a_command_that_there_is_not_is_told_with_one_that_is_meant(relex) -> None:
    result = relex("widow")
    assert result.exit_code == 2
    assert result.error.strip() == (
        "relex: No such command 'widow'. Did you mean 'window'? See relex --help."
    )


def test_the_help_of_the_program_says_what_that_of_each_command_says(relex) -> None:
    for place in COMMANDS.values():
        module, _, name = place.partition(":")
        command = getattr(import_module(module), name)
        if isinstance(command, typer.Typer):
            assert summary_of(place) == command.info.help
        else:
            assert inspect.getdoc(command).startswith(summary_of(place) + "\n") or (
                inspect.getdoc(command) == summary_of(place)
            )
        assert summary_of(place).endswith(".")


def test_an_unfinished_folder_is_no_factors(relex, tmp_path) -> None:
    result = relex("inspect", tmp_path)
    assert result.exit_code == 2
    assert "has no manifest" in result.error


def wide_checkpoint(folder: Path, num_elements: int) -> None:
    """A checkpoint of zeros that takes no room on disk."""
    folder.mkdir(parents=True)
    info = {"dtype": "F32", "shape": [num_elements], "data_offsets": [0, 4 * num_elements]}
    header = json.dumps({"w": info}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 4 * num_elements)


def run_child(arguments: list[str], **options) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [*COMMAND, *arguments], env=environment, stderr=subprocess.PIPE, text=True, **options
    )


def test_ctrl_c_leaves_no_folder(tmp_path: Path) -> None:
    for name in ("base", "window/step_1", "window/step_2", "window/step_3"):
        wide_checkpoint(tmp_path / name, 100_000_000)
    out = tmp_path / "results" / "factors"
    window, base = str(tmp_path / "window"), str(tmp_path / "base")
    options = ["--base", base, "--out", str(out), "--memory-gb", "0.01", "--device", "cpu"]
    with run_child(["fit", window, *options], start_new_session=True) as child:
        while not list(out.parent.glob(".factors.partial-*/factors.safetensors")):
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, error = child.communicate()
    assert child.returncode == INTERRUPTED
    assert "Traceback" not in error
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("command", ["fit", "predict"])
def test_a_full_disk_leaves_no_folder(command, factors, tmp_path: Path) -> None:
    out = tmp_path / "results" / "out"
    arguments = {
        "fit": ["fit", STEPS, "--device", "cpu"],
        "predict": ["predict", str(factors), "--step", "50"],
    }[command]
    limit_bytes = 50_000
    child = run_child(
        [*arguments, "--base", BASE, "--out", str(out)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes)),
    )
    _, error = child.communicate()
    assert child.returncode == 2
    assert "cannot be written: File too large; free some space" in error
    assert error.count("\n") == 1
    assert list(out.parent.iterdir()) == []


def test_benchmarks_lists_every_row_of_the_table(
    relex: Relex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = relex("benchmarks")
    assert result.exit_code == 0
    assert all(f"{row.name} " in result.out for row in BENCHMARKS)
    assert all(len(line) <= 100 for line in result.out.splitlines())

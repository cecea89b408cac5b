"""A fit in a process of its own is the fit, and leaves nothing behind."""

import shutil
from pathlib import Path

import psutil
import pytest

from relex.checkpoints import Checkpoint
from relex.errors import InputError, WindowError
from relex.extrapolation import fit_factors
from relex.extrapolation.factors import BASIS_FILE, TABLE_FILE
from relex.extrapolation.fit_process import FitJob, run_fit
from relex.window import open_window

GOLDEN = Path(__file__).parents[2] / "golden" / "tied"


def job(out: Path, window: Path = GOLDEN / "steps") -> FitJob:
    return FitJob(
        window=str(window),
        connection=None,
        base=str(GOLDEN / "base"),
        out=str(out),
        methods=("line", "secant"),
        memory_bytes=None,
        device="cpu",
    )


def ignore(*_) -> None:
    pass


def test_it_gives_the_bytes_of_the_fit_and_tells_how_far_it_is(tmp_path) -> None:
    seen = []
    factors = run_fit(job(tmp_path / "there"), lambda *numbers: seen.append(numbers), ignore)
    window, base = open_window(str(GOLDEN / "steps")), Checkpoint(GOLDEN / "base")
    here = fit_factors(window, base, tmp_path / "here", methods=("line", "secant"), device="cpu")
    for name in (BASIS_FILE, TABLE_FILE):
        assert (factors.folder / name).read_bytes() == (here.folder / name).read_bytes()
    assert seen[-1][0] == seen[-1][1]


def test_its_errors_are_those_of_the_fit(tmp_path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there: exists already"):
        run_fit(job(tmp_path / "there"), ignore, ignore)
    with pytest.raises(WindowError, match="is not a folder"):
        run_fit(job(tmp_path / "out", tmp_path / "nowhere"), ignore, ignore)


def test_an_interrupt_leaves_no_process_and_no_factors(tmp_path) -> None:
    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(KeyboardInterrupt):
        run_fit(job(tmp_path / "there"), interrupt, ignore)
    assert {child.pid for child in psutil.Process().children()} <= before
    assert not (tmp_path / "there").exists()
    shutil.rmtree(tmp_path)

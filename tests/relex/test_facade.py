"""What `import relex` gives, and that the page about notebooks shows what works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import relex
from relex.checkpoints import TOY_BASE, Checkpoint
from relex.errors import CheckpointError, FactorsError
from tests.snapshots import write_toy_line

PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"
NAMES = ["Recipe", "RelexError", "fit", "inspect", "load_recipe", "open_window", "predict", "run"]


def test_the_names_are_these() -> None:
    assert sorted(relex.__all__) == NAMES
    assert {*NAMES, "__version__"} == set(dir(relex))
    assert all(callable(getattr(relex, name)) for name in NAMES)
    with pytest.raises(AttributeError, match="module 'relex' has no attribute 'fitt'"):
        relex.fitt  # noqa: B018


def test_importing_it_imports_nothing_else() -> None:
    code = "import sys, relex; print({name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "relex" in done.stdout
    for package in ("torch", "numpy", "pydantic", "transformers", "typer"):
        assert f"'{package}'" not in done.stdout


def test_the_run_can_be_called_before_and_after_its_package_is_imported() -> None:
    code = (
        "import relex; first = relex.run; import relex.run; "
        "print(first is relex.run, callable(first))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


@pytest.fixture
def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`window` in the working folder: three checkpoints of the toy on a straight line."""
    monkeypatch.chdir(tmp_path)
    write_toy_line(tmp_path / "window")
    return tmp_path / "window"


def test_the_lines_of_the_page_fit_and_predict(window: Path, capsys) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(code, {})
    assert "explained_fraction" in capsys.readouterr().out
    name = "model.norm.weight"
    predicted = Checkpoint(Path("step-6")).read_tensor(name).float()
    base = Checkpoint(TOY_BASE).read_tensor(name).float()
    torch.testing.assert_close(predicted, 1.3 * base, rtol=0.02, atol=0)


def test_every_name_of_the_page_is_there() -> None:
    table = re.findall(r"^\| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    told = {name for cell in table for name in re.findall(r"`(\w+)", cell)}
    assert told == set(NAMES)


def test_windows_and_factors_are_opened_by_their_places(window: Path) -> None:
    opened = relex.open_window(window, "toy")
    assert opened.steps == (1, 2, 3)
    relex.fit(opened, TOY_BASE, "factors", steps=(2, 3), methods=["secant"])
    assert relex.inspect("factors").steps == (2, 3)
    assert relex.predict("factors", "toy", 4, "secant", out="step-4") == Path("step-4")


def test_what_cannot_be_done_is_said_in_one_line_and_leaves_nothing(window: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a local folder nor a readable repository"):
        relex.fit(window, "/no/such/base", "factors")
    relex.fit(window, "toy", "factors")
    with pytest.raises(FactorsError, match="step 3 is not beyond the window"):
        relex.predict("factors", "toy", 3, out="step-3")
    assert not Path("step-3").exists()

"""The page about code of one's own: every snippet does what the page says."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import relex
from relex import testing
from relex.report import RunSummary

DOCS = Path(__file__).parents[1] / "docs"
SNIPPET = re.compile(r"```python\n# (my_\w+\.py)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the snippets of the page as the files that it calls them."""
    folder = tmp_path_factory.mktemp("own")
    snippets = SNIPPET.findall((DOCS / "extending.md").read_text())
    assert len(snippets) == (DOCS / "extending.md").read_text().count("```python") == 6
    for name, code in snippets:
        (folder / name).write_text(code)
    return folder


@pytest.fixture(autouse=True)
def on_the_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")


@pytest.mark.parametrize(
    ("check", "name", "options"),
    [
        (testing.check_reward, "my_rewards:concise", {"longest": 300}),
        (testing.check_grader, "my_graders:last_number", {"golds": ["4", "-12"]}),
        (testing.check_source, "my_questions:sums", {"path": "3", "skip": 4}),
        (testing.check_method, "my_methods:average-number5", {}),
        (testing.check_engine, "my_engines:OneByOne", {}),
        (testing.check_trainer, "my_trainers:supervised", {}),
    ],
)
def test_every_example_passes_its_contract_test(
    check: Callable[..., None], name: str, options: dict[str, Any]
) -> None:
    check(name, **options)


def test_one_run_uses_all_of_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEX_HOME", str(tmp_path / "home"))
    source = {"kind": "my_questions:sums", "path": "9"}
    summary = relex.run(
        {
            "name": "own",
            "device": "cpu",
            "base": {"path": "toy"},
            "problems": {
                "train": {**source, "skip": 40},
                "validation": {**source, "limit": 20},
                "test": [{"name": "sums", "source": {**source, "skip": 20, "limit": 20}}],
            },
            "rewards": [{"reward": "my_rewards:concise", "params": {"longest": 8}}],
            "training": {"trainer": "my_trainers:supervised", "steps": 3, "learning_rate": 1e-5},
            "extrapolation": {"targets": [6], "methods": ["my_methods:average-number2"]},
            "evaluation": {
                "engine": "my_engines:OneByOne",
                "grader": "my_graders:last_number",
                "samples_per_question": 2,
                "max_completion_tokens": 8,
                "max_context_tokens": 64,
            },
        }
    )
    assert isinstance(summary, RunSummary)
    labels = [result.candidate.label for result in summary.decision.results]
    assert labels == ["base", "step 3", "my_methods:average 6, number 2"]
    assert summary.decision.grader.startswith("my_graders:last_number/")

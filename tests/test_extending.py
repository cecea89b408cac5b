"""The page about code of one's own: every snippet does what the page says."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import relex
from relex import testing
from relex.cli.select import select
from relex.problems import Problem
from relex.report import RunSummary
from relex.selection import Decision

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
        (
            testing.check_grader,
            "my_graders:last_number",
            {"problems": [Problem("2+2=", "4"), Problem("-3*4=", "-12")]},
        ),
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


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSummary, Path]:
    """A run that uses all of them, and the folder in which it is kept."""
    home = tmp_path_factory.mktemp("home")
    source = {"kind": "my_questions:sums", "path": "9"}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        patch.setenv("RELEX_HOME", str(home))
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
                "training": {
                    "trainer": "my_trainers:supervised",
                    "steps": 3,
                    "learning_rate": 1e-5,
                },
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
    return summary, home / "s3" / "relex" / "runs" / summary.run_id


@pytest.mark.slow
def test_one_run_uses_all_of_them(finished: tuple[RunSummary, Path]) -> None:
    summary, run = finished
    labels = [result.candidate.key for result in summary.decision.results]
    assert labels == ["base", "observed-3", "my_methods:average-number2-6"]
    assert summary.decision.grader.startswith("my_graders:last_number/")
    scores = [json.loads(path.read_text()) for path in run.glob("scores/*/*/score.json")]
    assert {score["engine"] for score in scores} == {"one-by-one 1.0"}


@pytest.mark.slow
def test_select_reads_what_a_run_has_stored(
    finished: tuple[RunSummary, Path], tmp_path: Path
) -> None:
    summary, run = finished
    select(run / "recipe.yaml", str(run / "scores"), tmp_path / "decision.json")
    text = (tmp_path / "decision.json").read_text()
    assert Decision.model_validate_json(text) == summary.decision

"""Programs that ran without a sandbox: the run says so before, and its report after."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from relex.config import check_recipe
from relex.home import Home
from relex.run import conclude, preflight
from relex.run.places import Run
from relex.run.stage import Line
from relex.storage import S3Connection

TOY = Path(__file__).parents[3] / "deployments" / "recipes" / "toy-small.yaml"


def run_with(folder: Path, lines: list[Line], reward: str, grader: str) -> Run:
    def source(name: str) -> dict[str, Any]:
        tests = {"calls": [{"function": "f", "arguments": [1], "expected": 2}]}
        row = {"question": f"{name}?", "answer": "def f(x): return x + 1", "tests": tests}
        (folder / name).write_text(json.dumps(row))
        return {"kind": "jsonl", "path": str(folder / name), "extra_columns": ["tests"]}

    recipe = yaml.safe_load(TOY.read_text())
    recipe["problems"] = {
        "train": source("train"),
        "validation": source("validation"),
        "test": [{"name": "code", "source": source("test")}],
    }
    recipe["rewards"] = [{"reward": reward}]
    recipe["evaluation"]["grader"] = grader
    return Run(
        check_recipe(recipe, "recipe"),
        Home(folder),
        str(folder),
        S3Connection(),
        [lambda event: lines.append(event) if isinstance(event, Line) else None],
    )


@pytest.mark.parametrize(
    ("reward", "grader", "is_shown"),
    [
        ("code_tests_without_sandbox", "code_tests_without_sandbox", True),
        ("code_tests_without_sandbox", "exact_match", True),
        ("exact_match", "code_tests_without_sandbox", True),
        ("exact_match", "exact_match", False),
    ],
)
def test_a_run_without_a_sandbox_says_so(
    tmp_path: Path, reward: str, grader: str, is_shown: bool
) -> None:
    lines: list[Line] = []
    run = run_with(tmp_path, lines, reward, grader)
    preflight._check_problems(run)
    assert any("sandbox: none" in line.text for line in lines) == is_shown
    assert (conclude._graders(run).get("sandbox") == "none") == is_shown

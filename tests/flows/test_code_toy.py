"""The toy of code: its problems, and the whole job on it, with programs that run in the sandbox."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from relex.config import ProblemSource, RewardTerm
from relex.problems import load_problems
from relex.report import RunSummary
from relex.rewards import build_reward, check_golds, end_rewards
from tests.bench.code_toy import build_toy, write_problems

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "deployments" / "recipes" / "toy-code.yaml"


def test_its_gold_answers_pass_and_no_question_is_in_two_sets(sandbox, tmp_path: Path) -> None:
    write_problems(tmp_path)
    sets = {
        split: load_problems(
            ProblemSource(
                kind="jsonl", path=str(tmp_path / f"{split}.jsonl"), extra_columns=["tests"]
            )
        )
        for split in ("train", "validation", "test")
    }
    grader = build_reward(RewardTerm(reward="code_tests"))
    for name, problems in sets.items():
        assert check_golds(name, problems[:50], grader) == []
    end_rewards([grader])
    ids = [problem.id for problems in sets.values() for problem in problems]
    assert len(ids) == len(set(ids)) == 900


@pytest.mark.slow
def test_it_trains_is_extrapolated_chosen_and_published(sandbox, tmp_path: Path) -> None:
    build_toy(tmp_path / "toy-code")
    recipe = tmp_path / "toy-code.yaml"
    recipe.write_text(RECIPE.read_text().replace(".relex/", f"{tmp_path}/"))
    home = tmp_path / "home"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RELEX_HOME": str(home)}
    ended = subprocess.run(
        [sys.executable, "-m", "flows.program", "run", str(recipe)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    [path] = home.rglob("report/summary.json")
    summary = RunSummary.model_validate_json(path.read_bytes())
    accuracy = {result.candidate.key: result.accuracy for result in summary.benchmarks}
    assert accuracy["observed-12"] > accuracy["base"]
    assert accuracy[summary.decision.chosen.key] >= accuracy["observed-12"] - 0.05
    [model] = home.rglob("model/model.safetensors")
    assert model.stat().st_size > 1e6
    answers = [
        json.loads(line)
        for found in home.rglob("answers.jsonl")
        for line in found.read_text().splitlines()
    ]
    reasons = {answer["reason"].partition(" (")[0] for answer in answers if not answer["correct"]}
    assert any("SyntaxError" in reason for reason in reasons)
    assert "test 1: wrong" in {reason[:13] for reason in reasons}

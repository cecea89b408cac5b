"""`relex select` on scores, and the graders behind them."""

import json
from pathlib import Path

import pytest
import yaml

from relex.candidates import BASE, Candidate
from relex.cli.select import select
from relex.errors import InputError
from relex.evaluation import ANSWERS_FILE, SCORE_FILE, Answer, Dtype, Score
from relex.evaluation.results import write_answers

RECIPE = Path(__file__).parents[3] / "deployments/recipes/toy.yaml"
CANDIDATES = [BASE, Candidate(step=30), Candidate(step=60, method="line")]


def measured(
    folder: Path,
    candidate: Candidate,
    grader: str,
    accuracy: float,
    benchmark: str = "validation",
    dtype: Dtype = "float32",
) -> None:
    """A candidate that answers that share of 20 questions."""
    target = folder / candidate.key / benchmark
    target.mkdir(parents=True)
    answers = [
        Answer(
            question_id=f"q{number:02}",
            sample=0,
            seed=number,
            text="7",
            finish_reason="stop",
            num_tokens=1,
            value=float(number < 20 * accuracy),
            correct=number < 20 * accuracy,
        )
        for number in range(20)
    ]
    write_answers(target / ANSWERS_FILE, answers)
    score = Score(
        candidate=candidate,
        benchmark=benchmark,
        grader=grader,
        engine="none",
        dtype=dtype,
        num_questions=20,
        samples_per_question=1,
        accuracy=accuracy,
        truncated_fraction=0,
        mean_completion_tokens=1,
        generation_seconds=0,
        swap_seconds=0,
    )
    (target / SCORE_FILE).write_text(score.model_dump_json())


def test_the_decision_names_the_grader(tmp_path: Path) -> None:
    for candidate, accuracy in zip(CANDIDATES, (0.2, 0.3, 0.9), strict=True):
        measured(tmp_path / "scores", candidate, "exact_match/1", accuracy)
    select(RECIPE, tmp_path / "scores", tmp_path / "decision.json")
    decision = json.loads((tmp_path / "decision.json").read_text())
    assert decision["grader"] == "exact_match/1"
    assert decision["chosen"]["step"] == 60


def test_scores_by_different_graders_are_not_compared(tmp_path: Path) -> None:
    for candidate, grader in zip(CANDIDATES, ("exact_match/1",) * 2 + ("mine/123",), strict=True):
        measured(tmp_path / "scores", candidate, grader, 0.5)
    with pytest.raises(InputError, match="graded by exact_match/1, mine/123, which cannot be"):
        select(RECIPE, tmp_path / "scores", tmp_path / "decision.json")
    assert not (tmp_path / "decision.json").exists()


def test_scores_in_different_dtypes_are_not_compared(tmp_path: Path) -> None:
    dtypes: tuple[Dtype, ...] = ("bfloat16", "bfloat16", "float32")
    for candidate, dtype in zip(CANDIDATES, dtypes, strict=True):
        measured(tmp_path / "scores", candidate, "exact_match/1", 0.5, dtype=dtype)
    with pytest.raises(InputError, match="computed in bfloat16, float32, which cannot be"):
        select(RECIPE, tmp_path / "scores", tmp_path / "decision.json")
    assert not (tmp_path / "decision.json").exists()


def test_scores_on_a_guard_benchmark_of_the_recipe_count(tmp_path: Path) -> None:
    recipe = yaml.safe_load(RECIPE.read_text())
    recipe["problems"]["guard"] = [
        {"name": "other", "source": {"kind": "jsonl", "path": "other.jsonl"}}
    ]
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    for candidate, accuracy, other in zip(
        CANDIDATES, (0.2, 0.3, 0.9), (0.8, 0.8, 0.1), strict=True
    ):
        measured(tmp_path / "scores", candidate, "exact_match/1", accuracy)
        measured(tmp_path / "scores", candidate, "exact_match/1", other, "other")
    select(path, tmp_path / "scores", tmp_path / "decision.json")
    decision = json.loads((tmp_path / "decision.json").read_text())
    assert decision["chosen"]["step"] == 30
    assert "accuracy on other falls from 0.800 to 0.100" in decision["reason"]

"""`relex select` on scores, and the graders behind them."""

import json
from pathlib import Path

import pytest
import yaml

from relex.candidates import BASE, Candidate
from relex.cli.select import select
from relex.config import GREEDY
from relex.errors import InputError, StageError
from relex.evaluation import ANSWERS_FILE, SCORE_FILE, Answer, Dtype, Score
from relex.evaluation.results import part_name, write_answers
from tests.conftest import S3

RECIPE = Path(__file__).parents[3] / "deployments/recipes/toy.yaml"
CANDIDATES = [BASE, Candidate(step=30), Candidate(step=60, method="line")]


def measured(
    folder: Path,
    candidate: Candidate,
    grader: str,
    accuracy: float,
    benchmark: str = "validation",
    dtype: Dtype = "float32",
    questions: range | None = None,
) -> None:
    """A candidate that answers that share of 20 questions, or some of these questions."""
    target = folder / benchmark / candidate.key
    if questions is not None:
        target /= part_name(questions)
    target.mkdir(parents=True)
    asked = questions or range(20)
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
        for number in asked
    ]
    write_answers(target / ANSWERS_FILE, answers)
    score = Score(
        candidate=candidate,
        benchmark=benchmark,
        grader=grader,
        engine="none",
        dtype=dtype,
        num_questions=len(asked),
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
    select(RECIPE, str(tmp_path / "scores"), tmp_path / "decision.json")
    decision = json.loads((tmp_path / "decision.json").read_text())
    assert decision["grader"] == "exact_match/1"
    assert decision["chosen"]["step"] == 60


def test_the_greedy_answers_of_a_run_have_a_row_as_in_its_report(tmp_path: Path, capsys) -> None:
    for candidate, accuracy in zip(CANDIDATES, (0.2, 0.3, 0.9), strict=True):
        measured(tmp_path / "scores", candidate, "exact_match/1", accuracy)
    measured(tmp_path / "scores", CANDIDATES[1], "exact_match/1", 0.8, GREEDY)
    select(RECIPE, str(tmp_path / "scores"), tmp_path / "decision.json")
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    labels = [" ".join(row[:2]) for row in rows[2:6]]
    assert labels == ["base 0", "observed-30 30", "↳ greedy", "line-60 30"]
    assert rows[4][2:4] == ["0.800", "[0.600,"]


def test_scores_by_different_graders_are_not_compared(tmp_path: Path) -> None:
    for candidate, grader in zip(CANDIDATES, ("exact_match/1",) * 2 + ("mine/123",), strict=True):
        measured(tmp_path / "scores", candidate, grader, 0.5)
    with pytest.raises(InputError, match="graded by exact_match/1, mine/123, which cannot be"):
        select(RECIPE, str(tmp_path / "scores"), tmp_path / "decision.json")
    assert not (tmp_path / "decision.json").exists()


def test_scores_in_different_dtypes_are_not_compared(tmp_path: Path) -> None:
    dtypes: tuple[Dtype, ...] = ("bfloat16", "bfloat16", "float32")
    for candidate, dtype in zip(CANDIDATES, dtypes, strict=True):
        measured(tmp_path / "scores", candidate, "exact_match/1", 0.5, dtype=dtype)
    with pytest.raises(InputError, match="computed in bfloat16, float32, which cannot be"):
        select(RECIPE, str(tmp_path / "scores"), tmp_path / "decision.json")
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
    select(path, str(tmp_path / "scores"), tmp_path / "decision.json")
    decision = json.loads((tmp_path / "decision.json").read_text())
    assert decision["chosen"]["step"] == 30
    assert "accuracy on other falls from 0.800 to 0.100" in decision["reason"]


def test_parts_of_the_questions_are_put_together(tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    for candidate, accuracy in zip(CANDIDATES, (0.2, 0.3, 0.9), strict=True):
        measured(tmp_path / "whole", candidate, "exact_match/1", accuracy)
        for part in (range(8), range(8, 20)):
            measured(scores, candidate, "exact_match/1", accuracy, questions=part)
    dropped = Candidate(step=90, method="line")
    measured(scores, dropped, "exact_match/1", 0.1, questions=range(8))
    select(RECIPE, str(scores), tmp_path / "parts.json")
    select(RECIPE, str(tmp_path / "whole"), tmp_path / "whole.json")
    parts, whole = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("parts", "whole")
    )
    assert parts["chosen"] == whole["chosen"] == {"step": 60, "method": "line", "part": ""}
    num_questions = [result["num_questions"] for result in parts["results"]]
    assert num_questions == [20, 20, 20, 8]
    assert [result["accuracy"] for result in parts["results"]][:3] == [0.2, 0.3, 0.9]


def test_the_candidate_is_that_of_the_score_whatever_its_folder_is_called(tmp_path: Path) -> None:
    for candidate, accuracy in zip(CANDIDATES, (0.2, 0.3, 0.9), strict=True):
        measured(tmp_path / "scores", candidate, "exact_match/1", accuracy)
    folder = tmp_path / "scores" / "validation"
    (folder / "line-60").rename(folder / "observed-5")
    select(RECIPE, str(tmp_path / "scores"), tmp_path / "decision.json")
    decision = json.loads((tmp_path / "decision.json").read_text())
    assert decision["chosen"] == {"step": 60, "method": "line", "part": ""}


def test_scores_on_s3_are_read_there_and_so_are_recipes_with_a_window(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for candidate, accuracy in zip(CANDIDATES, (0.2, 0.3, 0.9), strict=True):
        measured(s3.folder / "run" / "scores", candidate, "exact_match/1", accuracy)
    recipe = yaml.safe_load(RECIPE.read_text())
    del recipe["training"]
    recipe["window"] = {"uri": f"{s3.uri}/run/window"}
    recipe["storage"] = {"uri": s3.uri, "endpoint_url": s3.connection.endpoint_url}
    recipe["storage"]["region"] = "us-east-1"
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", s3.connection.credentials_file)
    select(path, f"{s3.uri}/run/scores", tmp_path / "decision.json")
    assert json.loads((tmp_path / "decision.json").read_text())["chosen"]["step"] == 60


def test_what_cannot_be_read_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing: holds no answers to validation; make them with"):
        select(RECIPE, str(tmp_path / "nothing"), tmp_path / "decision.json")
    for candidate in CANDIDATES:
        measured(tmp_path / "scores", candidate, "exact_match/1", 0.5)
    score = tmp_path / "scores" / "validation" / "base" / SCORE_FILE
    score.write_text(score.read_text()[:-9])
    with pytest.raises(StageError, match=r"validation/base/score.json: damaged: .*measure"):
        select(RECIPE, str(tmp_path / "scores"), tmp_path / "decision.json")
    assert not (tmp_path / "decision.json").exists()

from collections.abc import Callable
from pathlib import Path

import pytest

from relex.candidates.candidate import BASE, Candidate
from relex.cli.evaluate import evaluate, parse_candidate
from relex.config import Recipe, dump_recipe
from relex.errors import InputError
from relex.evaluation import read_answers


@pytest.mark.parametrize(
    "candidate",
    [BASE, Candidate(kind="observed", step=30), Candidate(kind="extrapolated", step=120)],
    ids=lambda candidate: candidate.key,
)
def test_a_candidate_is_named_by_its_key(candidate: Candidate) -> None:
    assert parse_candidate(candidate.key) == candidate


@pytest.mark.parametrize("key", ["", "120", "extrapolated", "observed--1", "base-0"])
def test_any_other_name_is_refused(key: str) -> None:
    with pytest.raises(InputError, match=f"--candidate {key}: give base, observed-STEP"):
        parse_candidate(key)


def test_a_benchmark_that_the_recipe_lacks_is_refused(
    toy_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(toy_recipe()))
    with pytest.raises(InputError, match="--benchmark math: the recipe has additions, validation"):
        evaluate(tmp_path / "recipe.yaml", tmp_path / "out", benchmark="math")


def test_the_command_measures_and_keeps_the_answers(
    toy_recipe: Callable[..., Recipe],
    snapshots: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(toy_recipe(engine="transformers")))
    evaluate(
        tmp_path / "recipe.yaml",
        tmp_path / "out",
        candidate=["observed-1"],
        benchmark="additions",
        window=str(snapshots),
    )
    assert "step 1" in capsys.readouterr().out
    assert len(read_answers(tmp_path / "out/observed-1/additions/answers.jsonl")) == 800

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from relex.candidates import BASE, Candidate, parse_candidate
from relex.cli.evaluate import evaluate
from relex.cli.fit import fit
from relex.config import Recipe, dump_recipe
from relex.errors import InputError, RelexError
from relex.evaluation import read_answers


@pytest.mark.parametrize(
    "candidate",
    [
        BASE,
        Candidate(step=30),
        *(Candidate(step=120, method=m) for m in ("line", "secant-gap10", "my.own:way-x1.5e-05")),
    ],
    ids=lambda candidate: candidate.key,
)
def test_a_candidate_is_named_by_its_key(candidate: Candidate) -> None:
    assert parse_candidate(candidate.key) == candidate


@pytest.mark.parametrize(
    "key",
    [
        "",
        "120",
        "line",
        "observed--1",
        "base-0",
        "observed-",
        "observed-0",
        "line-0",
        "line=-3",
        "-3",
    ],
)
def test_any_other_name_is_refused(key: str) -> None:
    with pytest.raises(InputError, match=f"{key}: is no candidate; give base, observed-STEP"):
        parse_candidate(key)


def test_a_benchmark_that_the_recipe_lacks_is_refused(
    toy_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(toy_recipe()))
    with pytest.raises(InputError, match="--benchmark math: the recipe has additions, validation"):
        evaluate(tmp_path / "recipe.yaml", tmp_path / "out", benchmark="math")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("line-9", "needs factors"),
        ("lime-9", "lime: is not built in"),
        ("observed-9", "has no step 9"),
    ],
)
def test_a_candidate_that_cannot_be_made_is_refused_before_an_engine_is_loaded(
    toy_recipe: Callable[..., Recipe],
    snapshots: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    key: str,
    message: str,
) -> None:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(toy_recipe(engine="transformers")))
    with pytest.raises(RelexError, match=message):
        evaluate(
            tmp_path / "recipe.yaml",
            tmp_path / "out",
            candidate=["base", key],
            window=str(snapshots),
        )
    assert "is ready" not in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


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
    assert "observed-1" in capsys.readouterr().out
    assert len(read_answers(tmp_path / "out/additions/observed-1/answers.jsonl")) == 800


def test_a_recipe_with_a_window_says_where_the_candidates_are(
    toy_recipe: Callable[..., Recipe],
    snapshots: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit(str(snapshots), "toy", tmp_path / "factors", method=["secant"], device="cpu")
    value = toy_recipe(engine="transformers").model_dump(mode="json")
    del value["training"], value["rounds"]
    (tmp_path / "recipe.yaml").write_text(
        yaml.safe_dump(value | {"window": {"uri": str(snapshots)}})
    )
    evaluate(
        tmp_path / "recipe.yaml",
        tmp_path / "out",
        candidate=["observed-2", "secant-4"],
        factors=str(tmp_path / "factors"),
    )
    table = capsys.readouterr().out
    assert "observed-2" in table and "secant-4" in table
    kept = sorted(path.name for path in (tmp_path / "out" / "validation").iterdir())
    assert kept == ["observed-2", "secant-4"]

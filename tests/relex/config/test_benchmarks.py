"""The table of benchmarks, and recipes that name rows of it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from relex.config import (
    BENCHMARKS,
    NamedBenchmark,
    ProblemSource,
    PromptConfig,
    Recipe,
    check_recipe,
    dump_recipe,
    named_benchmark,
    parse_recipe,
)
from relex.config.benchmarks import BOXED_TEMPLATE
from relex.errors import RecipeError

ROOT = Path(__file__).parents[3]
TOY = yaml.safe_load((ROOT / "deployments/recipes/toy.yaml").read_text())
PAGE = (ROOT / "docs/benchmarks.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMIT = re.compile(r"[0-9a-f]{40}")
TOY_TRAIN = {"kind": "toy", "split": "train"}


def recipe_with(
    test: list[Any], evaluation: dict[str, Any] | None = None, **problems: Any
) -> Recipe:
    given = {**TOY["problems"], "test": test, **problems}
    sampling = {**TOY["evaluation"], **(evaluation or {})}
    return check_recipe({**TOY, "problems": given, "evaluation": sampling}, "recipe")


@pytest.mark.parametrize("row", BENCHMARKS, ids=lambda row: row.name)
def test_a_row_is_a_valid_source_and_a_valid_entry(row: NamedBenchmark) -> None:
    [entry] = recipe_with([row.name]).problems.test
    assert entry.source == ProblemSource(**row.source)
    assert entry.name == row.name


@pytest.mark.parametrize("row", BENCHMARKS, ids=lambda row: row.name)
def test_a_row_is_pinned_to_a_commit(row: NamedBenchmark) -> None:
    assert COMMIT.fullmatch(str(row.source["revision"]))


def test_names_are_there_once() -> None:
    names = [row.name for row in BENCHMARKS]
    assert len(names) == len(set(names))


def test_a_source_may_name_a_benchmark_with_fields_beside_it() -> None:
    source = ProblemSource.model_validate({"kind": "benchmark", "name": "gsm8k", "limit": 5})
    assert source == ProblemSource(**named_benchmark("gsm8k").source, limit=5)
    assert ProblemSource.model_validate("gsm8k") == source.model_copy(update={"limit": 0})


def test_a_named_entry_is_measured_as_the_table_says() -> None:
    exam = recipe_with(["aime_2025"]).exam("aime_2025")
    assert (exam.samples_per_question, exam.sampling.temperature, exam.sampling.top_p) == (
        8,
        0.7,
        0.8,
    )
    assert exam.grader == "math_equality"
    assert exam.sampling.max_completion_tokens == TOY["evaluation"]["max_completion_tokens"]


def test_fields_of_an_entry_override_the_table() -> None:
    entry = {
        "source": "aime_2025",
        "samples_per_question": 2,
        "temperature": 0.3,
        "grader": "exact_match",
        "prompt": {"template": "Q {question}"},
    }
    exam = recipe_with([entry]).exam("aime_2025")
    assert exam.samples_per_question == 2
    assert (exam.sampling.temperature, exam.sampling.top_p) == (0.3, 0.8)
    assert exam.grader == "exact_match"
    assert exam.prompt.template == "Q {question}"


def test_a_part_of_a_benchmark_has_a_name_of_its_own() -> None:
    entry = {"name": "few", "source": {"kind": "benchmark", "name": "gsm8k", "limit": 5}}
    recipe = recipe_with([entry])
    assert recipe.problems.test[0].source.limit == 5
    assert recipe.exam("few").sampling.temperature == 0


def test_validation_and_own_sets_are_measured_as_evaluation_says() -> None:
    own = {"name": "own", "source": {"kind": "toy", "split": "test"}}
    recipe = recipe_with([own, "aime_2025"], {"stop": ["\n\n"]})
    assert recipe.exam("own") == recipe.exam("validation")
    assert recipe.exam("validation").samples_per_question == 16
    assert recipe.exam("aime_2025").sampling.stop == ("\n\n",)


def test_the_template_of_the_table_is_used_where_the_recipe_has_none() -> None:
    trained_on_own = recipe_with(["math_500"])
    assert trained_on_own.problems.prompt == PromptConfig()
    assert trained_on_own.exam("math_500").prompt.template == BOXED_TEMPLATE
    trained_on_named = recipe_with(["math_500"], train="math_train")
    assert trained_on_named.exam("validation").prompt.template == BOXED_TEMPLATE


def test_the_prompt_of_the_recipe_stands_before_the_template_of_the_table() -> None:
    recipe = recipe_with(["math_500"], train="math_train", prompt={"template": "mine {question}"})
    assert recipe.exam("math_500").prompt == recipe.problems.prompt
    assert recipe.problems.prompt.template == "mine {question}"


def test_a_recipe_with_named_benchmarks_survives_a_round_trip() -> None:
    train = {"kind": "benchmark", "name": "math_train", "without": ["math_500"], "skip": 5}
    recipe = recipe_with(["math_500", {"source": "aime_2026", "temperature": 1.0}], train=train)
    again = parse_recipe(dump_recipe(recipe), "again")
    assert again == recipe
    assert again.run_id == recipe.run_id


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("aime_2055", "problems.test.0.name: no benchmark is named 'aime_2055'; there are math_"),
        ({"source": {"kind": "benchmark"}}, "no benchmark is named ''"),
        ({"source": {"kind": "benchmark", "name": "gsm8k", "limt": 1}}, "limt: unknown key"),
        ({"source": "gsm8k", "samples_per_question": 4}, "4 greedy answers are the same answer"),
        (
            {"name": "own", "source": {"kind": "jsonl", "path": "x", "without": ["nothing"]}},
            "problems.test.0.source.without: no benchmark is named 'nothing'",
        ),
        (
            {"name": "own", "source": {"kind": "toy", "split": "test", "without": ["gsm8k"]}},
            "problems.test.0.source.without: a toy source is made from a seed; remove without",
        ),
    ],
)
def test_a_wrong_entry_is_told(entry: Any, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        recipe_with([entry])
    assert message in str(error.value)


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"evaluation\.stop\.0: "):
        recipe_with(["gsm8k"], {"stop": [""]})


def test_the_page_shows_every_kind_of_source() -> None:
    assert max(len(block.splitlines()) for block in BLOCKS) <= 10
    for kind in ("benchmark", "jsonl", "parquet", "hub"):
        assert any(f"kind: {kind}" in block for block in BLOCKS)


def test_reading_a_recipe_leaves_what_was_given_as_it_was() -> None:
    given = {**TOY, "problems": {**TOY["problems"], "test": ["gsm8k"]}}
    check_recipe(given, "recipe")
    assert given["problems"]["test"] == ["gsm8k"]


def test_a_guard_benchmark_has_an_exam_of_its_own() -> None:
    guard = {"name": "other", "source": TOY_TRAIN, "samples_per_question": 2}
    recipe = recipe_with(TOY["problems"]["test"], guard=[guard, "gsm8k"])
    assert recipe.exam("other").samples_per_question == 2
    assert recipe.exam("gsm8k").prompt.template == BOXED_TEMPLATE
    assert [entry.name for entry in recipe.problems.benchmarks] == ["toy", "other", "gsm8k"]


def test_a_guard_benchmark_is_no_test_benchmark_too() -> None:
    with pytest.raises(RecipeError, match="names must differ, found twice: toy"):
        recipe_with(TOY["problems"]["test"], guard=TOY["problems"]["test"])

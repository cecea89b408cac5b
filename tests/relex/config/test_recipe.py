"""Recipes: what is accepted, and the one line that says what is wrong."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from relex.config import (
    Recipe,
    WindowRecipe,
    check_recipe,
    check_run_recipe,
    dump_recipe,
    load_recipe,
    load_run_recipe,
    parse_recipe,
)
from relex.errors import RecipeError

RECIPES = Path(__file__).parents[3] / "deployments" / "recipes"
TOY = (RECIPES / "toy.yaml").read_text()
LISTED = TOY.replace("targets: auto", "targets: [60, 75, 90]")


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    nested = [
        field.annotation
        for field in model.model_fields.values()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    ]
    return [model, *(section for child in nested for section in sections(child))]


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_valid(path: Path) -> None:
    assert load_recipe(path).name


@pytest.mark.parametrize(
    ("stem", "window", "target"),
    [
        ("qwen2.5-math-1.5b", 75, 500),
        ("qwen3-4b-base", 75, 500),
        ("qwen3-8b-base", 100, 750),
    ],
)
def test_the_papers_recipes_have_its_window_and_target(stem: str, window: int, target: int) -> None:
    recipe = load_recipe(RECIPES / f"{stem}.yaml")
    assert recipe.training.steps == window
    assert target in recipe.extrapolation.targets


@pytest.mark.parametrize(
    "section",
    sorted({*sections(Recipe), *sections(WindowRecipe)}, key=lambda section: section.__name__),
    ids=lambda section: section.__name__,
)
def test_every_field_is_documented(section: type[BaseModel]) -> None:
    assert [name for name, field in section.model_fields.items() if not field.description] == []


def test_a_recipe_survives_a_round_trip() -> None:
    recipe = parse_recipe(TOY, "toy.yaml")
    assert parse_recipe(dump_recipe(recipe), "again") == recipe


def test_where_a_run_is_kept_does_not_change_its_identity() -> None:
    elsewhere = {"storage": {"uri": "s3://other/place"}, "tracking": {"experiment": "other"}}
    stated = yaml.safe_load(TOY) | elsewhere
    assert check_recipe(stated, "toy.yaml").run_id == parse_recipe(TOY, "toy.yaml").run_id


def test_what_can_change_a_result_changes_the_identity() -> None:
    other = TOY.replace("steps: 30", "steps: 31")
    assert parse_recipe(other, "toy.yaml").run_id != parse_recipe(TOY, "toy.yaml").run_id


def test_every_step_is_kept_unless_the_recipe_lists_steps() -> None:
    assert parse_recipe(TOY, "toy.yaml").training.kept_steps == tuple(range(1, 31))


def test_a_recipe_may_have_a_window_in_place_of_training(tmp_path: Path) -> None:
    stated = yaml.safe_load(TOY)
    del stated["training"], stated["rewards"], stated["problems"]["train"]
    path = tmp_path / "window.yaml"
    path.write_text(yaml.safe_dump({**stated, "window": {"uri": "s3://bucket/window"}}))
    recipe = load_run_recipe(path)
    assert isinstance(recipe, WindowRecipe)
    assert check_run_recipe(yaml.safe_load(dump_recipe(recipe)), "again") == recipe


def test_the_steps_of_a_window_are_checked_when_they_are_known() -> None:
    stated = {k: v for k, v in yaml.safe_load(LISTED).items() if k != "training"}
    recipe = check_run_recipe({**stated, "window": {"uri": "there"}}, "window.yaml")
    recipe.check_steps(range(1, 31))
    with pytest.raises(ValueError, match="60 is not beyond the window, which ends at step 60"):
        recipe.check_steps(range(10, 61, 10))
    with pytest.raises(ValueError, match="10 is not kept in the window; choose from its 2 steps"):
        recipe.check_steps([1, 30])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "learning_rate:",
            "learning_rat:",
            "learning_rat: unknown key; did you mean learning_rate?",
        ),
        ("name: toy\n", "", "name: missing"),
        ("steps: 30", "steps: many", "training.steps: input should be auto, or a number from 2 to"),
        ("steps: 30", "steps: 1", "training.steps: input should be auto, or a number from 2 to"),
        ("steps: 30", "steps: auto", "training.most_steps: missing; steps: auto needs the largest"),
        ("  steps: 30", "  steps: 30\n  most_steps: 40", "most_steps: is for steps: auto, found"),
        ("learning_rate: 1.0e-5", "learning_rate: .nan", "training.learning_rate: "),
        ("targets: [60,", "targets: [30,", "30 is not beyond the window, which ends at step 30"),
        ("targets: [60,", "targets: [7,", "7 is not beyond the window"),
        ("targets: [60,", "targets: [75,", "extrapolation.targets: 75 is listed twice"),
        ("observed_steps: [10,", "observed_steps: [31,", "31 is not kept in the window"),
        (
            "observed_steps: [10,",
            "denoised_steps: [0]\n  observed_steps: [10,",
            "evaluation.denoised_steps: 0 is not kept in the window; choose from",
        ),
        ("  steps: 30", "  steps: 30\n  snapshot_steps: [10, 20]", "the last step 30 must be kept"),
        ("  steps: 30", "  steps: 30\n  snapshot_steps: [0, 30]", "must lie in 1 to 30"),
        ("  steps: 30", "  steps: 30\n  snapshot_steps: [30]", "at least two snapshots"),
        (
            "  prompts_per_step: 64",
            "  prompts_per_step: 8\n  stop_after_falling_steps: 2",
            "training.stop_after_falling_steps: 2 steps x prompts_per_step 8 are fewer than 20 "
            "questions, whose accuracy often falls by chance; choose more",
        ),
        ("  steps: 30", "  steps: 30\n  snapshot_steps: [5, 5, 30]", "a step is listed twice"),
        ("split: validation", "split: dev", "toy has train, validation and test, not 'dev'"),
        ("kind: toy, split: train", "kind: jsonl", "path: needed for kind jsonl"),
        ("kind: toy, split: train", "kind: toy, path: x", "remove path"),
        ("- name: toy", "- name: validation", "benchmark names must differ"),
        ("max_context_tokens: 64", "max_context_tokens: 8", "leaves no room for a prompt"),
        (
            "targets: [60,",
            "search: {farthest: 4}\n  targets: [60,",
            "search: is for targets: auto",
        ),
        (
            "targets:",
            "methods: [line, line]\n  targets:",
            "methods: line, line: list each method once",
        ),
        ("base:", "device: tpu\nbase:", "device: input should be 'auto', 'cpu' or 'cuda'"),
        ("base:", "storage: {uri: folder}\nbase:", "storage.uri: "),
    ],
)
def test_a_fault_is_one_clear_line(old: str, new: str, message: str) -> None:
    assert old in LISTED
    with pytest.raises(RecipeError) as error:
        parse_recipe(LISTED.replace(old, new, 1), "my.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("my.yaml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        ("autoo", "'autoo'"),
        ("60", "60"),
        ("[]", "[]"),
        ('[60, "x"]', "[60, 'x']"),
        ("[60.5]", "[60.5]"),
        ("", "None"),
        ("{from: 60}", "{'from': 60}"),
    ],
)
def test_targets_that_are_neither_auto_nor_steps_are_one_clear_line(
    targets: str, found: str
) -> None:
    given = yaml.safe_load(TOY)
    given["extrapolation"]["targets"] = yaml.safe_load(targets)
    with pytest.raises(RecipeError) as error:
        check_recipe(given, "my.yaml")
    assert str(error.value) == (
        "my.yaml: extrapolation.targets: input should be auto, or a list of steps beyond the "
        f"window such as [60, 120], no more than 1000 of them, found {found}"
    )


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as error:
        parse_recipe(TOY.replace("steps: 30", "stepz: 30").replace("name: toy\n", "", 1), "my.yaml")
    assert "name: missing" in str(error.value)
    assert "stepz: unknown key" in str(error.value)


@pytest.mark.parametrize("text", ["- a list", "just words", ""])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="not a mapping of recipe fields"):
        parse_recipe(text, "my.yaml")


def test_broken_yaml_is_one_line() -> None:
    with pytest.raises(RecipeError, match="not valid YAML") as error:
        parse_recipe("name: [", "my.yaml")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.yaml: cannot be read"):
        load_recipe(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("section", "field", "variable"),
    [
        (
            "tracking: {uri: 'http://me:hidden@host:5000'}",
            "tracking.uri",
            "MLFLOW_TRACKING_PASSWORD",
        ),
        (
            "storage: {endpoint_url: 'https://me:hidden@host'}",
            "storage.endpoint_url",
            "AWS_SECRET_ACCESS_KEY",
        ),
    ],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(
    section: str, field: str, variable: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        check_recipe(yaml.safe_load(TOY) | yaml.safe_load(section), "toy.yaml")
    line = str(caught.value)
    assert line.startswith(f"toy.yaml: {field}: holds a user name or password")
    assert variable in line
    assert "hidden" not in line


def test_a_form_can_refuse_an_address_with_a_password_itself() -> None:
    schema = Recipe.model_json_schema()["$defs"]
    patterns = [
        schema["TrackingConfig"]["properties"]["uri"]["pattern"],
        schema["StorageConfig"]["properties"]["endpoint_url"]["pattern"],
    ]
    for pattern in patterns:
        assert re.search(pattern, "http://host:5000/path")
        assert not re.search(pattern, "http://me:hidden@host")

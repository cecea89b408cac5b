"""What the form asks for, and the recipe that its answers make."""

import re
from typing import Any

import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from flows.pipeline import relex_extrapolate, relex_pipeline
from relex.config import Recipe, WindowRecipe, load_recipe
from relex.doors import GRADERS
from relex.errors import RecipeError
from tasks.form import PLACES, PRESETS, recipe_of

TOY = load_recipe(PRESETS / "toy.yaml")
NAMES = sorted(path.stem for path in PRESETS.glob("*.yaml"))


@pytest.fixture(scope="module")
def asked() -> dict[str, Any]:
    """The properties that a Prefect server learns of the form."""
    return parameter_schema(relex_pipeline).properties


def branches(schema: dict[str, Any]) -> dict[str, Any]:
    return {branch["title"]: branch for branch in schema["anyOf"]}


def refusal(**answers: Any) -> str:
    with pytest.raises(RecipeError) as error:
        recipe_of({"preset": "toy", **answers})
    assert "\n" not in str(error.value)
    return str(error.value)


def test_nothing_must_be_filled_in(asked: dict[str, Any]) -> None:
    assert parameter_schema(relex_pipeline).required == []
    assert asked["preset"]["default"] == "toy"
    assert {schema["default"] for name, schema in asked.items() if name != "preset"} == {None}


def test_fields_stand_in_the_order_of_their_importance(asked: dict[str, Any]) -> None:
    by_position = sorted(asked, key=lambda name: int(asked[name]["position"]))
    assert by_position[:5] == ["preset", "name", "base", "train_questions", "validation_questions"]
    assert by_position[-2:] == ["overrides", "recipe"]
    assert set(PLACES) - {"window"} < set(by_position)


def test_every_field_is_described(asked: dict[str, Any]) -> None:
    assert [name for name, schema in asked.items() if not schema.get("description")] == []


def test_a_description_tells_limits_and_what_the_presets_have(asked: dict[str, Any]) -> None:
    told = asked["learning_rate"]["description"]
    assert "Above 0, at most 1." in told
    assert "; **1e-6** in qwen2.5-math-1.5b, " in told
    assert "**0** in every preset" in asked["seed"]["description"]


def test_what_is_limited_in_the_recipe_is_limited_in_the_form(asked: dict[str, Any]) -> None:
    rate = branches(asked["learning_rate"])["set here"]
    assert (rate["exclusiveMinimum"], rate["maximum"]) == (0, 1)
    assert branches(asked["steps"])["set here"]["minimum"] == 2
    assert branches(asked["name"])["set here"]["pattern"] == "^[a-z0-9][a-z0-9-]*$"


def test_presets_rewards_and_graders_are_chosen_by_name(asked: dict[str, Any]) -> None:
    assert sorted(asked["preset"]["enum"]) == NAMES
    term = branches(asked["rewards"])["set here"]["items"]["properties"]
    grader = branches(asked["grader"])["set here"]
    for name in (*GRADERS, "my_graders:last_number"):
        assert re.fullmatch(grader["pattern"], name)
        assert re.fullmatch(term["reward"]["pattern"], name)
    assert re.fullmatch(grader["pattern"], "exactmatch") is None
    assert [name for name in term if term[name]["position"] == 0] == ["reward"]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_alone_is_its_recipe(name: str) -> None:
    assert recipe_of({"preset": name}) == load_recipe(PRESETS / f"{name}.yaml")


def test_answers_take_the_place_of_the_presets_values() -> None:
    stated = yaml.safe_load((PRESETS / "toy.yaml").read_text())
    stated["training"]["learning_rate"] = 2e-5
    stated["extrapolation"]["targets"] = "auto"
    stated["rewards"] = [{"reward": "format", "weight": 0.5}]
    answers = {
        "preset": "toy",
        "name": None,
        "learning_rate": 2e-5,
        "targets": "auto",
        "rewards": [{"reward": "format", "weight": 0.5}],
    }
    assert recipe_of(answers) == Recipe.model_validate(stated)


def test_overrides_reach_every_other_field_and_named_ones_win() -> None:
    overrides = {"training": {"kl_beta": 0.01, "steps": 40}, "storage": {"uri": "s3://b/p"}}
    recipe = recipe_of({"preset": "toy", "overrides": overrides, "steps": 50})
    assert (recipe.training.kl_beta, recipe.training.steps) == (0.01, 50)
    assert recipe.training.prompts_per_step == TOY.training.prompts_per_step
    assert recipe.storage.uri == "s3://b/p"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("/data/own.jsonl", {"kind": "jsonl", "path": "/data/own.jsonl"}),
        ("own.parquet", {"kind": "parquet", "path": "own.parquet"}),
        ("openai/gsm8k:test", {"kind": "hub", "path": "openai/gsm8k", "split": "test"}),
        ("me/sums", {"kind": "hub", "path": "me/sums", "split": "train"}),
        ("my_questions:sums", {"kind": "my_questions:sums"}),
    ],
)
def test_own_questions_take_the_place_of_the_presets_whole(text: str, source: Any) -> None:
    recipe = recipe_of({"preset": "toy", "train_questions": text, "validation_questions": text})
    stated = recipe.problems.model_dump(exclude_unset=True)
    assert stated["train"] == stated["validation"] == source
    assert recipe.problems.test == TOY.problems.test


def test_own_test_questions_have_a_name_and_a_champion_of_their_own() -> None:
    recipe = recipe_of({"preset": "toy", "test_questions": "/data/Held-out 2.jsonl"})
    assert [test.name for test in recipe.problems.test] == ["held_out_2"]
    assert (TOY.tracking.registered_model, recipe.tracking.registered_model) == ("toy", "")


def test_a_benchmark_brings_its_name_and_columns_come_by_overrides() -> None:
    columns = {"problems": {"train": {"question_column": "q"}}}
    recipe = recipe_of(
        {
            "preset": "toy",
            "train_questions": "own.jsonl",
            "test_questions": "math_500",
            "prompt": "Q: {question}",
            "overrides": columns,
        }
    )
    assert recipe.problems.train.question_column == "q"
    assert [test.name for test in recipe.problems.test] == ["math_500"]
    assert recipe.problems.prompt.template == "Q: {question}"


def test_a_complete_recipe_is_taken_as_it_is() -> None:
    assert recipe_of({"preset": "toy", "recipe": TOY}) is TOY
    dumped = TOY.model_dump(mode="json")
    assert recipe_of({"preset": "qwen3-8b-base", "recipe": dumped}).digest == TOY.digest


def test_fields_beside_a_complete_recipe_are_refused() -> None:
    assert "steps, seed cannot be set beside a complete recipe" in refusal(
        recipe=TOY, steps=50, seed=1
    )


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"learning_rate": 5}, "form: training.learning_rate: input should be less than or equal"),
        ({"learning_rate": "fast"}, "training.learning_rate: input should be a valid number"),
        ({"rewards": [{}]}, "rewards.0.reward: missing"),
        ({"steps": 80, "targets": [60]}, "extrapolation.targets: 60 is not beyond the window"),
        ({"overrides": {"training": {"kl": 1}}}, "training.kl: unknown key"),
        ({"test_questions": "held-out"}, "form: test_questions: 'held-out' is no file"),
        ({"preset": "tiny"}, "preset: there is no 'tiny'; choose toy, "),
        ({"recipe": {"name": "x"}}, "recipe: base: missing"),
    ],
)
def test_a_wrong_answer_is_refused_in_one_line_with_its_field(
    answers: dict[str, Any], message: str
) -> None:
    assert message in refusal(**answers)


def test_a_window_takes_the_place_of_the_presets_training() -> None:
    recipe = recipe_of({"preset": "toy", "window": "s3://b/window", "targets": None})
    assert isinstance(recipe, WindowRecipe)
    assert recipe.window.uri == "s3://b/window"
    assert recipe.problems.validation == TOY.problems.validation
    assert recipe.evaluation.samples_per_question == TOY.evaluation.samples_per_question
    # Those of the preset belong to its own window.
    assert (recipe.extrapolation.targets, recipe.evaluation.observed_steps) == ("auto", ())


def test_a_complete_recipe_may_be_of_a_window() -> None:
    recipe = recipe_of({"preset": "toy", "window": "there"})
    dumped = recipe.model_dump(mode="json")
    assert recipe_of({"window": "there", "preset": "toy", "recipe": dumped}) == recipe
    assert "window cannot be set beside" in refusal(window="elsewhere", recipe=dumped)


def test_a_window_must_be_named() -> None:
    schema = parameter_schema(relex_extrapolate)
    assert schema.required == ["window"]
    assert schema.properties["window"]["minLength"] == 1
    assert refusal(window=None) == "form: window.uri: missing"


def test_the_form_of_a_window_asks_for_it_first() -> None:
    asked = parameter_schema(relex_extrapolate).properties
    assert asked["window"]["position"] == 0
    assert "training" not in str(asked.keys())
    assert branches(asked["targets"]).keys() == {"left out", "auto", "these steps"}
    assert [name for name, schema in asked.items() if not schema.get("description")] == []

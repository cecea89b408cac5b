"""Partial scores: whole in training, and right or wrong to the choice from a stated value on."""

from typing import Any

import pytest

from relex.config import Recipe, check_recipe
from relex.errors import RecipeError
from relex.evaluation import Completion, Request
from relex.evaluation.draws import Draw
from relex.evaluation.scoring import grade
from relex.problems import Problem
from relex.rewards import CheckedReward, graded_by
from tests.relex.training.test_process import small_recipe

VALUES = ["-1", "0.5", "0.649", "0.65", "0.99", "1", "1.5"]


def recipe_with(least: float, **benchmark: Any) -> Recipe:
    stated = small_recipe().model_dump(mode="json", exclude_none=True)
    stated["evaluation"]["correct_from"] = least
    stated["problems"]["test"][0] |= benchmark
    return check_recipe(stated, "recipe")


@pytest.mark.parametrize(
    ("correct_from", "right"), [(1.0, ["1"]), (0.65, ["0.65", "0.99", "1"]), (0.5, VALUES[1:6])]
)
def test_an_answer_is_right_from_the_threshold_to_one(
    correct_from: float, right: list[str]
) -> None:
    grader = CheckedReward("partial", lambda completions, **_: list(map(float, completions)))
    request = Request(prompt_token_ids=(1,), seed=0)
    draws = [Draw(Problem("q", "a"), sample, "q", request) for sample in range(len(VALUES))]
    completions = [Completion(text=text, num_tokens=1, finish_reason="stop") for text in VALUES]
    answers = grade(draws, completions, grader, correct_from)
    assert [answer.text for answer in answers if answer.correct] == right
    assert [answer.value for answer in answers] == [float(text) for text in VALUES]


def test_a_benchmark_may_have_a_threshold_of_its_own() -> None:
    recipe = recipe_with(0.65, correct_from=0.9)
    assert recipe.exam("validation").correct_from == 0.65
    assert recipe.exam("toy").correct_from == 0.9


def test_scores_with_different_thresholds_are_graded_by_something_else() -> None:
    whole, part = recipe_with(1.0), recipe_with(0.65)
    version = graded_by(whole.exam("validation"))
    assert graded_by(part.exam("validation")) == f"{version} from 0.65"
    assert whole.run_id != part.run_id


@pytest.mark.parametrize("value", [0, 1.1])
def test_a_threshold_that_takes_everything_or_nothing_is_refused(value: float) -> None:
    with pytest.raises(RecipeError, match=r"evaluation\.correct_from"):
        recipe_with(value)

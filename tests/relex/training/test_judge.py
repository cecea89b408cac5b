"""Which grader judges the completions of the training, and when it cannot."""

from pathlib import Path
from typing import Any

from relex.config import Recipe, RewardTerm, load_recipe
from relex.problems import Problem
from relex.rewards import build_rewards
from relex.training import computed_terms
from relex.training.judge import grader_column, why_not_judged

TOY = load_recipe(Path(__file__).parents[3] / "deployments" / "recipes" / "toy.yaml")
FORM: dict[str, Any] = {"reward": "format", "weight": 0.5}


def recipe_of(*terms: dict[str, Any], grader: str = "math_equality") -> Recipe:
    evaluation = TOY.evaluation.model_copy(update={"grader": grader})
    rewards = tuple(RewardTerm(**term) for term in terms)
    return TOY.model_copy(update={"rewards": rewards, "evaluation": evaluation})


def test_a_grader_that_is_no_term_goes_along_without_weight() -> None:
    recipe = recipe_of(FORM, {"reward": "exact_match"})
    assert computed_terms(recipe) == (
        *recipe.rewards,
        RewardTerm(reward="math_equality", weight=0),
    )
    assert grader_column(recipe) == 2


def test_a_grader_that_is_a_term_is_not_run_twice() -> None:
    recipe = recipe_of(FORM, {"reward": "math_equality", "weight": 2})
    assert computed_terms(recipe) == recipe.rewards
    assert grader_column(recipe) == 1


def test_a_term_with_parameters_is_another_grader() -> None:
    strict = {"reward": "math_equality", "params": {"timeout_seconds": 1}}
    recipe = recipe_of(strict)
    assert grader_column(recipe) == 1
    assert len({reward.name for reward in build_rewards(computed_terms(recipe))}) == 2


def test_one_gold_for_all_problems_is_none() -> None:
    problems = [Problem(f"Tell a story about {number} bears.", "-") for number in range(20)]
    assert why_not_judged(problems) == (
        "all 20 training problems have the gold answer '-'; give each its own"
    )


def test_golds_of_their_own_can_be_judged() -> None:
    assert why_not_judged([Problem("2+2", "4"), Problem("1+3", "4"), Problem("1+1", "2")]) is None
    assert why_not_judged([Problem("1+1", "2")]) is None

"""From a sweep to complete recipes that differ only in what the sweep varies."""

import sys
from pathlib import Path
from typing import Any

import pytest

from relex.config import Recipe, SweepConfig, load_recipe
from relex.errors import RecipeError, RewardError
from relex.sweep import build_trials, sweep_id

BASE = load_recipe(Path(__file__).parents[3] / "deployments" / "recipes" / "toy.yaml")
GOOD = {"name": "good", "terms": [{"reward": "exact_match"}]}
FORM = {"name": "form", "terms": [{"reward": "format", "weight": 0.5}, {"reward": "exact_match"}]}


def sweep_of(*rewards: dict[str, Any], **changes: Any) -> SweepConfig:
    value = {"name": "mine", "base": "toy", "rewards": rewards or (GOOD, FORM)} | changes
    return SweepConfig.model_validate(value)


@pytest.fixture
def own_reward(tmp_path, monkeypatch) -> Path:
    """The file of a module `own_sweep_reward` with a function `pay`."""
    path = tmp_path / "own_sweep_reward.py"
    path.write_text("def pay(completions, answers, **_):\n    return [0.0 for _ in completions]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return path


def test_there_is_a_trial_for_every_combination():
    sweep = sweep_of(
        seeds=[4, 5],
        learning_rates=[1e-5, 1e-4],
        training=[
            {"name": "usual", "settings": {}},
            {"name": "unscaled", "settings": {"scale_rewards": "none"}},
        ],
    )
    trials = build_trials(sweep, BASE)
    assert len(trials) == len({trial.recipe.run_id for trial in trials}) == 2 * 2 * 2 * 2
    assert [trial.label for trial in trials[:3]] == [
        "good, rate 1e-5, usual, seed 4",
        "good, rate 1e-5, usual, seed 5",
        "good, rate 1e-5, unscaled, seed 4",
    ]
    assert {trial.recipe.training.scale_rewards for trial in trials} == {"group", "none"}
    assert {trial.recipe.training.learning_rate for trial in trials} == {1e-5, 1e-4}


def test_trials_differ_from_the_base_in_nothing_else():
    varied = {"name", "seed", "rewards"}
    for trial in build_trials(sweep_of(), BASE):
        assert trial.recipe.model_dump(exclude=varied) == BASE.model_dump(exclude=varied)
        assert trial.recipe.rewards == trial.reward.terms
        assert trial.recipe.name == f"toy-{trial.reward.name}"


def test_all_are_judged_alike():
    trials = build_trials(sweep_of(), BASE)
    for benchmark in ("validation", "toy"):
        assert {trial.recipe.exam(benchmark).model_dump_json() for trial in trials} == {
            BASE.exam(benchmark).model_dump_json()
        }
    assert {trial.recipe.problems.model_dump_json() for trial in trials} == {
        BASE.problems.model_dump_json()
    }


def test_the_same_trial_of_another_sweep_is_the_same_run():
    longer = sweep_of(name="other", seeds=[0, 1, 2, 3])
    ids = {trial.recipe.run_id for trial in build_trials(longer, BASE)}
    assert {trial.recipe.run_id for trial in build_trials(sweep_of(), BASE)} < ids


def test_a_sweep_is_known_by_its_trials():
    sweep, other = sweep_of(), sweep_of(seeds=[0, 1])
    first, again = build_trials(sweep, BASE), build_trials(sweep_of(FORM, GOOD), BASE)
    assert sweep_id(sweep, first) == sweep_id(sweep, again)
    assert sweep_id(sweep, first) != sweep_id(other, build_trials(other, BASE))
    assert sweep_id(sweep, first).startswith("mine-")


def test_a_recipe_survives_the_way_through_the_form():
    for trial in build_trials(sweep_of(), BASE):
        sent = Recipe.model_validate(trial.recipe.model_dump(mode="json"))
        assert sent.run_id == trial.recipe.run_id


def test_who_edits_a_reward_gets_new_trials(own_reward):
    own = {"name": "own", "terms": [{"reward": "own_sweep_reward:pay"}]}
    before = build_trials(sweep_of(own), BASE)
    own_reward.write_text(own_reward.read_text().replace("0.0", "1.0"))
    after = build_trials(sweep_of(own), BASE)
    assert before[0].recipe.name.startswith("toy-own-")
    assert {t.recipe.run_id for t in before}.isdisjoint(t.recipe.run_id for t in after)


@pytest.mark.parametrize("rule", ["stop_after_flat_steps", "stop_after_falling_steps"])
def test_the_sweeps_stop_rule_goes_to_every_trial(rule):
    trials = build_trials(sweep_of(**{rule: 5}), BASE)
    assert {getattr(trial.recipe.training, rule) for trial in trials} == {5}


@pytest.mark.parametrize("rule", ["stop_after_flat_steps", "stop_after_falling_steps"])
def test_without_one_the_stop_rule_is_that_of_the_base(rule):
    training = BASE.training.model_copy(update={rule: 7})
    trials = build_trials(sweep_of(), BASE.model_copy(update={"training": training}))
    assert {getattr(trial.recipe.training, rule) for trial in trials} == {7}


def test_a_stop_rule_that_can_stop_nothing_is_refused():
    with pytest.raises(RecipeError) as error:
        build_trials(sweep_of(stop_after_falling_steps=15), BASE)
    assert str(error.value) == (
        "sweep mine: training base: training.stop_after_falling_steps: 15 compares the first 15 "
        "steps with 15 others before the end, and there are 30 steps; choose less than half of them"
    )


def test_an_unknown_reward_is_refused_before_anything_runs():
    bad = {"name": "bad", "terms": [{"reward": "exact_mach"}]}
    with pytest.raises(RewardError) as error:
        build_trials(sweep_of(GOOD, bad), BASE)
    assert str(error.value) == (
        "sweep mine: rewards: bad: reward exact_mach: is not built in (exact_match, math_equality, "
        "reasoning_gym, code_tests, code_tests_without_sandbox, format); name your own as "
        "module:function"
    )


def test_settings_that_make_no_recipe_are_refused():
    ways = [{"name": "odd", "settings": {"completions_per_prompt": 1}}]
    with pytest.raises(RecipeError) as error:
        build_trials(sweep_of(training=ways), BASE)
    assert str(error.value) == (
        "sweep mine: training odd: training.completions_per_prompt: input should be greater than "
        "or equal to 2, found 1"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"rewards": [GOOD, {**GOOD, "name": "better"}]},
        {"training": [{"name": "a", "settings": {}}, {"name": "b", "settings": {"kl_beta": 0.0}}]},
    ],
)
def test_one_run_under_two_names_is_refused(changes):
    with pytest.raises(RecipeError, match="are the same run under two names; remove one"):
        build_trials(sweep_of(**changes), BASE)

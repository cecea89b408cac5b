"""On which GPUs the shipped recipes run: the table in docs/gpu.md, from the plan itself.

`python tests/relex/memory/test_recipes.py` prints the table.
"""

import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from relex.config import Recipe, load_recipe
from relex.errors import ResourceError
from relex.memory import Model, check_plan, plan_memory, planned_machine, read_model
from relex.memory.cheaper import changed_recipe, changes_that_fit, words_of
from relex.memory.plan import Plan

ROOT = Path(__file__).parents[3]
CONFIGS = Path(__file__).parent / "configs"
CARDS_GB = (24, 80, 141)
HOME_GB = {
    "qwen2.5-0.5b-lora": 24,
    "qwen2.5-math-1.5b": 80,
    "qwen3-4b-base": 80,
    "qwen3-8b-base": 80,
}
"""The recipes, and the smallest of the cards on which each says that it runs."""

HEAD = "| recipe | GPUs | rollouts, GB | update, GB | answers, GB | |\n|---|---|---|---|---|---|\n"


@cache
def read(stem: str) -> tuple[Recipe, Model]:
    recipe = load_recipe(ROOT / "deployments" / "recipes" / f"{stem}.yaml")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(CONFIGS / f"{Path(recipe.base.path).name}.json", Path(folder) / "config.json")
        return recipe, read_model(folder)


def plan_of(stem: str, card_gb: int) -> Plan:
    recipe, model = read(stem)
    return plan_memory(recipe, model, planned_machine(card_gb, recipe.training.num_gpus))


def rows() -> Iterator[str]:
    for stem in HOME_GB:
        for card_gb in CARDS_GB:
            plan = plan_of(stem, card_gb)
            sizes = {phase.name: phase for phase in plan.phases}
            cells = [
                f"{sizes[name].size_bytes / 1e9:.1f} of {sizes[name].limit_bytes / 1e9:.1f}"
                for name in ("rollouts", "update", "answers")
            ]
            cards = f"{plan.machine.num_cards} x {card_gb} GB"
            yield f"| {stem} | {cards} | {' | '.join(cells)} | {_verdict(stem, plan)} |"


def _verdict(stem: str, plan: Plan) -> str:
    if plan.fits:
        return "fits"
    fitting = changes_that_fit(read(stem)[0], plan)
    return f"fits with `{words_of(fitting[0])}`" if fitting else "does not fit"


def table() -> str:
    return HEAD + "\n".join(rows()) + "\n"


def test_the_docs_show_what_the_plan_says():
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert table() in text
    assert "\n".join(plan_of("qwen2.5-math-1.5b", 80).lines()) in text


@pytest.mark.parametrize(("stem", "card_gb"), HOME_GB.items())
def test_each_recipe_runs_on_the_gpus_that_it_names_and_on_larger_ones(stem, card_gb):
    assert all(plan_of(stem, larger).fits for larger in CARDS_GB if larger >= card_gb)
    text = (ROOT / "deployments" / "recipes" / f"{stem}.yaml").read_text(encoding="utf-8")
    assert f"(relex recipe check --gpu {card_gb})" in text.splitlines()[0]


@pytest.mark.parametrize(
    ("stem", "millions"),
    [
        ("qwen2.5-0.5b-lora", 494.0),
        ("qwen2.5-math-1.5b", 1543.7),
        ("qwen3-4b-base", 4022.5),
        ("qwen3-8b-base", 8190.7),
    ],
)
def test_the_bases_have_the_parameters_that_are_published(stem, millions):
    assert read(stem)[1].num_parameters / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("stem", ["qwen2.5-math-1.5b", "qwen3-4b-base"])
def test_what_does_not_fit_is_refused_with_the_sum_and_with_what_does(stem):
    recipe, _ = read(stem)
    plan = plan_of(stem, 24)
    with pytest.raises(ResourceError) as refusal:
        check_plan(recipe, plan)
    message = str(refusal.value)
    assert f"recipe {recipe.name}: {plan.tightest.name} would take" in message
    assert plan.tightest.words in message and "on a GPU with 24 GB; what fits: " in message
    assert "\n" not in message


@pytest.mark.parametrize("card_gb", CARDS_GB)
@pytest.mark.parametrize("stem", HOME_GB)
def test_each_proposed_change_makes_a_valid_recipe_that_fits(stem, card_gb):
    recipe, model = read(stem)
    plan = plan_of(stem, card_gb)
    changes = [] if plan.fits else changes_that_fit(recipe, plan)
    for change in changes:
        changed = changed_recipe(recipe, change)
        assert isinstance(changed, Recipe)
        machine = planned_machine(card_gb, changed.training.num_gpus)
        assert plan_memory(changed, model, machine).fits


def test_a_full_training_of_eight_billion_is_told_to_shard_or_to_adapt():
    recipe, model = read("qwen3-8b-base")
    whole = changed_recipe(recipe, {"training.shard": False, "training.rollouts.sleep": False})
    assert whole is not None
    plan = plan_memory(whole, model, planned_machine(141, 8))
    assert not plan.fits
    told = [words_of(change) for change in changes_that_fit(whole, plan)]
    assert told == ["training.shard: true, training.num_gpus: 8", "training.lora: {rank: 32}"]


if __name__ == "__main__":
    print(table(), end="")

"""The nearest recipes that fit where one does not, each of them planned itself."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, islice, product
from typing import Any

import yaml

from relex.config import AnyRecipe, Recipe, check_run_recipe
from relex.config.rollouts import RolloutsConfig
from relex.errors import RecipeError
from relex.machine import Machine
from relex.memory.plan import Plan, plan_memory

MOST_KINDS = 4
MOST_ANSWERS = 4

Change = Mapping[str, Any]
"""Values by the dotted fields of a recipe."""


def changes_that_fit(recipe: AnyRecipe, plan: Plan) -> list[Change]:
    """The changes of as few kinds as can be, at most four, the mildest of its kinds each; empty
    where four kinds are not enough."""
    kinds = [kind for kind in _kinds(recipe) if kind]
    for num_kinds in range(1, MOST_KINDS + 1):
        found = (
            _first_that_fits(recipe, plan, chosen) for chosen in combinations(kinds, num_kinds)
        )
        fitting = list(islice((change for change in found if change), MOST_ANSWERS))
        if fitting:
            # What needs no more GPUs is nearer.
            return sorted(
                fitting,
                key=lambda change: change.get("training.num_gpus", 0) > plan.machine.num_cards,
            )
    return []


def words_of(change: Change) -> str:
    """As it would stand in a recipe."""
    return ", ".join(
        f"{field}: {yaml.safe_dump(value, default_flow_style=True).split(chr(10))[0]}"
        for field, value in change.items()
    )


def _first_that_fits(
    recipe: AnyRecipe, plan: Plan, kinds: tuple[list[Change], ...]
) -> Change | None:
    for changes in product(*kinds):
        merged = {field: value for change in changes for field, value in change.items()}
        changed = changed_recipe(recipe, merged)
        if changed is None:
            continue
        machine = _with_cards(changed, plan.machine)
        replanned = plan_memory(
            changed, plan.model, machine, plan.longest_prompt, trains=plan.trains
        )
        if replanned.fits:
            return merged
    return None


def _with_cards(recipe: AnyRecipe, machine: Machine) -> Machine:
    """The machine with as many such GPUs as the recipe takes."""
    return replace(machine, num_cards=max(_num_gpus(recipe), machine.num_cards))


def _num_gpus(recipe: AnyRecipe) -> int:
    return recipe.training.num_gpus if isinstance(recipe, Recipe) else 1


def changed_recipe(recipe: AnyRecipe, change: Change) -> AnyRecipe | None:
    """The recipe with other values; None where they do not go together."""
    value = recipe.model_dump(mode="json", exclude_unset=True)
    for field, new in change.items():
        *sections, name = field.split(".")
        part = value
        for section in sections:
            part = part.setdefault(section, {})
        part[name] = new
    try:
        return check_run_recipe(value, recipe.name)
    except RecipeError:
        return None


def _kinds(recipe: AnyRecipe) -> Iterator[list[Change]]:
    """What may be changed, from what costs least; of each kind the mildest first."""
    if isinstance(recipe, Recipe):
        training = recipe.training
        yield list(_smaller_engines(training.rollouts))
        yield [
            {"training.completions_per_device_batch": size}
            for size in _halves(training.completions_per_device_batch)
        ]
        yield [] if training.gradient_checkpointing else [{"training.gradient_checkpointing": True}]
        shard = {} if training.shard else {"training.shard": True}
        yield [
            {**shard, "training.num_gpus": number}
            for number in (2, 4, 8)
            if number > training.num_gpus or (number == training.num_gpus and not training.shard)
        ]
        yield [
            {"training.lora": {"rank": 32}},
            {"training.lora": {"rank": 32, "quantize": True}},
        ] * (training.lora is None)
        yield [
            {"training.max_completion_tokens": size}
            for size in _halves(training.max_completion_tokens)[:2]
        ]
    yield [{"evaluation.gpu_memory_fraction": fraction} for fraction in (0.9, 0.95)]
    yield [
        {"evaluation.tensor_parallel_size": number}
        for number in (2, 4, 8)
        if recipe.evaluation.tensor_parallel_size < number <= _num_gpus(recipe)
    ]


def _smaller_engines(rollouts: RolloutsConfig) -> Iterator[Change]:
    """vLLM that sleeps, that takes another share, and both."""
    sleep = {} if rollouts.sleep else {"training.rollouts.sleep": True}
    if sleep:
        yield sleep
    for both in ({}, sleep) if sleep else ({},):
        for fraction in (0.2, 0.1, 0.4, 0.5, 0.6, 0.7):
            yield {**both, "training.rollouts.memory_fraction": fraction}


def _halves(number: int) -> list[int]:
    """The number halved as often as it can be, the largest first."""
    return [number // 2, *_halves(number // 2)] if number % 2 == 0 else []

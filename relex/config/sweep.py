"""A sweep: reward variants, each tried with the same seeds and judged by the same questions."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from relex.config.addresses import without_credentials
from relex.config.recipe import Recipe
from relex.config.rewards import RewardTerm
from relex.config.strict import MOST_ENTRIES, MOST_STEPS, Section, Seed, Setting
from relex.config.training import TrainingConfig

NAME = r"^[a-z0-9][a-z0-9-]*$"
LONGEST_NAME = 30
MOST_TRIALS = 1000
"""Each is a run of the pipeline, and all of them stand in one table."""


LearningRate = Annotated[float, Field(gt=0, le=1)]


class RewardVariant(Section):
    """One reward to try."""

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """What it is called in the leaderboard: lower case, digits and dashes."""

    terms: tuple[RewardTerm, ...] = Field(min_length=1, max_length=MOST_ENTRIES)
    """Terms of the reward; their weighted sum is what training maximises."""


class TrainingVariant(Section):
    """One way of training to try with every reward."""

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """What it is called in the leaderboard: lower case, digits and dashes."""

    settings: dict[str, Setting] = Field(max_length=MOST_ENTRIES)
    """Fields of `training` that differ from the base recipe, such as `scale_rewards: none`,
    `completions_per_prompt: 32` or `kl_beta: 0.01`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for field in self.settings:
            if field == "learning_rate":
                raise ValueError("settings: learning_rate: list rates in learning_rates")
            if field not in TrainingConfig.model_fields:
                raise ValueError(
                    f"settings: {field} is not a field of training; a sweep may change nothing "
                    "else, because all its trials are judged in the same way"
                )
        return self


def _form_of_base(value: Any) -> str:
    return "name" if isinstance(value, str) else "recipe"


Base = Annotated[
    Annotated[str, Tag("name"), Field(min_length=1)] | Annotated[Recipe, Tag("recipe")],
    Discriminator(_form_of_base),
]


class SweepConfig(Section):
    """Every reward x learning rate x training variant x seed is one trial: a pipeline run.

    All of them answer the validation and test questions of the base recipe and are graded by its
    grader, never by their own reward.
    """

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    """Name of the sweep: lower case, digits and dashes."""

    base: Base
    """What the trials have in common: the name of a shipped recipe such as `toy`, the path of a
    recipe file, or a complete recipe. Its own rewards and seed are replaced."""

    rewards: tuple[RewardVariant, ...] = Field(min_length=1, max_length=MOST_ENTRIES)
    """The rewards to compare."""

    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1, max_length=MOST_ENTRIES)
    """Seeds to try each variant with. One seed tells nothing about the next one."""

    learning_rates: tuple[LearningRate, ...] = Field(default=(), max_length=MOST_ENTRIES)
    """Learning rates to try each reward with; empty takes that of the base recipe."""

    training: tuple[TrainingVariant, ...] = Field(default=(), max_length=MOST_ENTRIES)
    """Ways of training to try each reward with; empty takes that of the base recipe."""

    mode: Literal["pool", "inline"] = "pool"
    """`pool`: each trial is a run of the pipeline's deployment, on whatever workers serve it.
    `inline`: one after the other in this process."""

    stop_after_flat_steps: int = Field(default=0, ge=0, le=MOST_STEPS)
    """End a trial that has gone so many steps in a row in which more than 80 % of
    its groups had one reward for all completions, and so taught nothing. 0 takes what the base
    recipe says, which is never unless it says otherwise."""

    stop_after_falling_steps: int = Field(default=0, ge=0, le=MOST_STEPS)
    """End a trial whose completions of the last so many steps are worse than those of its first so
    many, by the grader of the base recipe's evaluation and by more than 3 standard errors. 0 takes
    what the base recipe says, which is never unless it says otherwise."""

    _no_credentials = model_validator(mode="before")(without_credentials)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _refuse_twice("rewards", [variant.name for variant in self.rewards])
        _refuse_twice("seeds", self.seeds)
        _refuse_twice("learning_rates", self.learning_rates)
        _refuse_twice("training", [variant.name for variant in self.training])
        self._refuse_many()
        return self

    def _refuse_many(self) -> None:
        ways = max(len(self.learning_rates), 1) * max(len(self.training), 1)
        num = len(self.rewards) * len(self.seeds) * ways
        if num > MOST_TRIALS:
            raise ValueError(
                f"seeds: {len(self.rewards)} rewards x {len(self.seeds)} seeds x {ways} ways to "
                f"train are {num:,} trials; a sweep has at most {MOST_TRIALS:,}"
            )


def _refuse_twice(field: str, values: Sequence[object]) -> None:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"{field}: {twice[0]} is there twice; list each once")

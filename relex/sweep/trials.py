"""From a sweep to its trials: complete recipes that differ only in what the sweep varies.

A trial's identity is its recipe's digest, so a trial that is finished is found again by any later
sweep. A recipe names its rewards but does not hold their code. Therefore the name of a trial ends
in a digest of the user's own code: who edits a reward gets new trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from relex.config import (
    Recipe,
    RewardTerm,
    RewardVariant,
    SweepConfig,
    TrainingVariant,
    check_recipe,
)
from relex.digests import sha256_bytes, sha256_json
from relex.doors import REWARD
from relex.errors import RecipeError, RewardError
from relex.rewards import build_rewards, grader_version
from relex.visible import number

DIGEST_CHARACTERS = 8
AS_THE_BASE = TrainingVariant(name="base", settings={})
CODE_CHARACTERS = 6


@dataclass(frozen=True)
class Trial:
    """One pipeline run of a sweep."""

    reward: RewardVariant
    """What it is paid for."""

    variant: str
    """What the leaderboard ranks: the reward, with learning rate and way of training where the
    sweep varies them. The trials of a variant differ in their seeds alone."""

    recipe: Recipe
    """The whole run."""

    @property
    def seed(self) -> int:
        return self.recipe.seed

    @property
    def label(self) -> str:
        """What people read: `exact-match, seed 1`."""
        return f"{self.variant}, seed {self.seed}"


def build_trials(sweep: SweepConfig, base: Recipe) -> list[Trial]:
    """Every trial, variants in the order of the sweep and seeds within them.

    Raises RewardError for a reward that does not exist or import, RecipeError for settings that
    make no recipe and for two trials that are the same run.
    """
    rates = sweep.learning_rates or (base.training.learning_rate,)
    ways = sweep.training or (AS_THE_BASE,)
    names = {reward.name: _trial_name(sweep, base, reward) for reward in sweep.rewards}
    trials = [
        Trial(
            reward=reward,
            variant=_variant(sweep, reward, rate, way),
            recipe=_recipe(sweep, base, names[reward.name], reward, rate, way, seed),
        )
        for reward, rate, way, seed in product(sweep.rewards, rates, ways, sweep.seeds)
    ]
    _refuse_same_runs(sweep, trials)
    return trials


def sweep_id(sweep: SweepConfig, trials: Sequence[Trial]) -> str:
    """Name of the sweep's folder: the same trials, with the same code, are the same sweep."""
    digest = sha256_json(sorted(trial.recipe.digest for trial in trials))
    return f"{sweep.name}-{digest[:DIGEST_CHARACTERS]}"


def _trial_name(sweep: SweepConfig, base: Recipe, reward: RewardVariant) -> str:
    """`toy-exact-match`, or `toy-concise-3f2a1b` for code of the user's."""
    try:
        build_rewards(reward.terms, base.reward_seconds)
        digest = own_code_digest(reward.terms)
    except RewardError as error:
        raise RewardError(f"sweep {sweep.name}: rewards: {reward.name}: {error}") from error
    return "-".join(part for part in (base.name, reward.name, digest) if part)


def _variant(
    sweep: SweepConfig, reward: RewardVariant, learning_rate: float, way: TrainingVariant
) -> str:
    rate = f"rate {number(learning_rate)}" if len(sweep.learning_rates) > 1 else ""
    training = way.name if len(sweep.training) > 1 else ""
    return ", ".join(part for part in (reward.name, rate, training) if part)


def _recipe(
    sweep: SweepConfig,
    base: Recipe,
    name: str,
    reward: RewardVariant,
    learning_rate: float,
    way: TrainingVariant,
    seed: int,
) -> Recipe:
    value: dict[str, Any] = base.model_dump(mode="json")
    value |= {"name": name, "seed": seed}
    value["rewards"] = [term.model_dump(mode="json") for term in reward.terms]
    value["training"] |= {**way.settings, "learning_rate": learning_rate}
    for rule in ("stop_after_flat_steps", "stop_after_falling_steps"):
        value["training"][rule] = getattr(sweep, rule) or value["training"][rule]
    return check_recipe(value, f"sweep {sweep.name}: training {way.name}")


def _refuse_same_runs(sweep: SweepConfig, trials: Sequence[Trial]) -> None:
    """Two variants that differ in nothing but their name would be one, counted twice."""
    seen: dict[str, Trial] = {}
    for trial in trials:
        nameless = trial.recipe.model_copy(update={"name": "trial"})
        other = seen.setdefault(nameless.digest, trial)
        if other is not trial:
            raise RecipeError(
                f"sweep {sweep.name}: {other.label} and {trial.label} are the same run under two "
                "names; remove one"
            )


def own_code_digest(terms: tuple[RewardTerm, ...]) -> str:
    """First characters of a digest of the user's own code in `terms`; empty for built-ins alone.

    Built-ins change with relex itself; a file of the user's may change between two nights. What the
    file imports is not part of it.
    """
    own = [grader_version(term.reward) for term in terms if term.reward not in REWARD.built_in]
    return sha256_bytes("\n".join(own).encode())[:CODE_CHARACTERS] if own else ""

"""What a run cost, in generated tokens and in seconds, and what that is in steps of training.

A token is the unit that does not depend on the machine. In training it costs more than in an
answer, because an update follows it; so what search and choice took is a little less than the steps
that are said.
"""

from collections.abc import Mapping, Sequence

from pydantic import Field

from relex.search.trials import SearchPath
from relex.strict import Strict

MINUTE, HOUR = 60.0, 3600.0


class Cost(Strict):
    """Of a part of the run, over all of its attempts that were kept."""

    tokens: int = Field(ge=0)
    """Tokens that were generated."""

    seconds: float = Field(ge=0)
    """Wall time: of training all that a step takes, of answers their generation and the swaps of
    weights before it."""

    @property
    def words(self) -> str:
        """`245,760 tokens in 40 s`."""
        return f"{self.tokens:,} tokens in {show_seconds(self.seconds)}"


class Costs(Strict):
    """Of a whole run."""

    device: str
    """Kind of the processor that it ran on: `cpu` or `cuda`."""

    training: Cost | None
    """Rollouts, rewards and updates; None where the window was there already."""

    rollout_seconds: float = 0.0
    """Of the training's seconds, those of the completions and their rewards; updates and snapshots
    took the others."""

    num_steps: int
    """Steps that were trained."""

    choice: Cost
    """Answers to the validation and guard questions, from which the choice was made."""

    report: Cost
    """Answers that only the report needs: test questions, and greedy ones."""

    @property
    def as_steps(self) -> int | None:
        """Training and choice together, in steps that take as many tokens as those trained."""
        if self.training is None or not self.training.tokens:
            return None
        return round(self.num_steps * (1 + self.choice.tokens / self.training.tokens))


def training_cost(curve: Sequence[Mapping[str, float]], completions_per_step: int) -> Cost | None:
    """From the metrics of every step; None without one."""
    if not curve:
        return None
    tokens = sum(step["mean_completion_tokens"] for step in curve) * completions_per_step
    return Cost(tokens=round(tokens), seconds=sum(step["step_seconds"] for step in curve))


def cost_line(costs: Costs, search: SearchPath | None) -> str:
    """Steps, tokens and time that were used, and what the search saved, in one paragraph."""
    on = "on the GPU" if costs.device == "cuda" else "on the CPU"
    parts = [f"The choice took {costs.choice.words} {on}."]
    if costs.training is not None:
        parts = [
            f"{costs.num_steps} trained steps took {costs.training.words} {on} (rollouts "
            f"{show_seconds(costs.rollout_seconds)}), the choice "
            f"{costs.choice.words}: together the tokens of {costs.as_steps} steps of training."
        ]
    if search is not None:
        parts.append(
            f"The search saved {max(search.num_grid_tokens - search.num_tokens, 0):,} tokens of "
            f"the {search.num_grid_tokens:,} that every target would have taken."
        )
    if costs.training is not None:
        parts.append("How many steps of training reach the same accuracy, a run cannot know.")
    return " ".join(parts)


def show_seconds(seconds: float) -> str:
    """`40 s`, `12 min`, `3.2 h`."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"

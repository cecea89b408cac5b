"""What a completion is paid for."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from relex.config.strict import MOST_ENTRIES, Section, Setting

BUILT_IN_REWARDS = ("exact_match", "math_equality", "format")
BUILT_IN_GRADERS = BUILT_IN_REWARDS[:-1]
LARGEST_WEIGHT = 1e6
"""Sums stay far from the largest float32, 3e38, in which training keeps them."""

OWN = {"type": "string", "title": "your own", "pattern": r"^[\w.]+:\w+$"}


def _one_of(names: tuple[str, ...]) -> WithJsonSchema:
    """In forms a choice of `names`, beside a place to type one's own."""
    built_in: dict[str, Any] = {"type": "string", "title": "built-in", "enum": list(names)}
    return WithJsonSchema({"anyOf": [built_in, OWN]})


RewardName = Annotated[str, Field(min_length=1), _one_of(BUILT_IN_REWARDS)]
GraderName = Annotated[str, Field(min_length=1), _one_of(BUILT_IN_GRADERS)]


class RewardTerm(Section):
    """One term of the weighted sum."""

    reward: RewardName
    """A built-in, or your own as `module:function` on the Python path of the worker, which is code
    that the worker runs, where its RELEX_PLUGINS allows it."""

    weight: float = Field(default=1.0, ge=-LARGEST_WEIGHT, le=LARGEST_WEIGHT)
    """Factor of this term in the sum."""

    params: dict[str, Setting] = Field(default={}, max_length=MOST_ENTRIES)
    """Keyword arguments for the reward, such as `{"longest": 300}`."""

"""What a completion is paid for."""

from typing import Annotated

from pydantic import Field

from relex.config.names import one_of
from relex.config.strict import MOST_ENTRIES, Section, Setting
from relex.doors import GRADERS, REWARD

LARGEST_WEIGHT = 1e6
"""Sums stay far from the largest float32, 3e38, in which training keeps them."""

RewardName = Annotated[str, Field(min_length=1), one_of(REWARD.built_in)]
GraderName = Annotated[str, Field(min_length=1), one_of(GRADERS)]


class RewardTerm(Section):
    """One term of the weighted sum."""

    reward: RewardName
    """`exact_match`: 1 for the text of the gold answer and nothing else. `math_equality`: 1 where
    the last `\\boxed{}` of the completion is mathematically equal to the gold answer. `format`: 1
    for the form alone, exactly one `\\boxed{}` or the regular expression in `params`
    (`{"pattern": "..."}`). `reasoning_gym`: what the task says, 1 for a right answer.
    `code_tests`: 1 where the program in the completion passes all tests of its problem, in a
    sandbox; `code_tests_without_sandbox`: the same without one, for whoever trusts the model. Or
    your own as `module:function` on the Python path of the worker, which is code that the worker
    runs, where its RELEX_PLUGINS allows it."""

    weight: float = Field(default=1.0, ge=-LARGEST_WEIGHT, le=LARGEST_WEIGHT)
    """Factor of this term in the sum."""

    params: dict[str, Setting] = Field(default={}, max_length=MOST_ENTRIES)
    """Keyword arguments for the reward, such as `{"longest": 300}`."""

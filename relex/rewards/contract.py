"""The contract of a reward, enforced on every call.

A reward is called with the prompts, the completions and the gold answers of a batch, as keyword
arguments and sequences of equal length, and returns one finite number per completion.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

from relex.errors import RewardError

SHORT_CHARACTERS = 200
CORRECT = 1.0
"""What a grader gives to a correct answer; every other value means wrong."""


class Reward(Protocol):
    """What training and evaluation call: a name for metrics, and values for a batch."""

    @property
    def name(self) -> str: ...

    def __call__(
        self, *, prompts: Sequence[str], completions: Sequence[str], answers: Sequence[str]
    ) -> list[float]: ...


@dataclass(frozen=True)
class CheckedReward:
    """A reward whose values are certain to be finite numbers, one per completion."""

    name: str
    """Unique among the rewards of a run, and a `safe_name`."""

    function: Callable[..., Any]
    """Takes prompts, completions and answers as keyword arguments; any text may be in them."""

    def __call__(
        self, *, prompts: Sequence[str], completions: Sequence[str], answers: Sequence[str]
    ) -> list[float]:
        """One value per completion.

        Raises RewardError, with the reward's name and the offending completion, when the function
        raises, returns another number of values, or a value that is not a finite number.
        """
        try:
            values = self.function(prompts=prompts, completions=completions, answers=answers)
        except RewardError:
            raise
        except Exception as error:
            raise RewardError(
                f"reward {self.name}: raised {type(error).__name__}: {error}; "
                f"{self._first_that_raises(prompts, completions, answers)}"
            ) from error
        return self._checked(values, completions)

    def _first_that_raises(
        self, prompts: Sequence[str], completions: Sequence[str], answers: Sequence[str]
    ) -> str:
        for prompt, completion, answer in zip(prompts, completions, answers, strict=True):
            try:
                self.function(prompts=[prompt], completions=[completion], answers=[answer])
            except Exception:
                return f"completion: {shortened(completion)}"
        return f"on the batch of {len(completions)} completions, but on none of them alone"

    def _checked(self, values: Any, completions: Sequence[str]) -> list[float]:
        if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
            raise RewardError(
                f"reward {self.name}: returned {type(values).__name__}, not a list of numbers"
            )
        listed = list(values)
        if len(listed) != len(completions):
            raise RewardError(
                f"reward {self.name}: returned {len(listed)} values for {len(completions)} "
                f"completions, the first of them {shortened(''.join(completions[:1]))}; "
                "return one value for each"
            )
        for value, completion in zip(listed, completions, strict=True):
            if not isinstance(value, Real) or not math.isfinite(value):
                raise RewardError(
                    f"reward {self.name}: returned {value!r}, not a finite number; "
                    f"completion: {shortened(completion)}"
                )
        return [float(value) for value in listed]


def shortened(completion: str) -> str:
    """The completion for a message: on one line, cut after 200 characters."""
    cut = completion[:SHORT_CHARACTERS]
    return f"{cut!r}..." if len(cut) < len(completion) else repr(cut)

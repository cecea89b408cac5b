"""The contract of a reward, enforced on every call.

A reward is called with the prompts, the completions, the gold answers of a batch and what their
graders need beside these, as keyword arguments and sequences of equal length, and returns one
finite number per completion.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from numbers import Real
from typing import Any, Protocol, Self

from relex.errors import RelexError, RewardError
from relex.problems import Extra
from relex.visible import one_line

SEARCH_SECONDS = 60.0
"""How long to look, one by one, for the completion that a reward raises on."""

CORRECT = 1.0
"""What a grader gives to a correct answer; every other value means wrong, unless a recipe says from
which one on (`evaluation.correct_from`)."""
SHORT_CHARACTERS = 200
LARGEST_VALUE = 1e12
"""Training squares rewards and adds them up in float32, which ends at 3e38."""


class Verdict(float):
    """A value with the reason for it, which stands beside the answer."""

    reason: str

    def __new__(cls, value: float, reason: str) -> Self:
        verdict = super().__new__(cls, value)
        verdict.reason = reason
        return verdict


Batch = Mapping[str, Sequence[Any]]
"""What a reward is called with, by name."""


class Reward(Protocol):
    """What training and evaluation call: a name for metrics, and values for a batch."""

    @property
    def name(self) -> str: ...

    def __call__(
        self,
        *,
        prompts: Sequence[str],
        completions: Sequence[str],
        answers: Sequence[str],
        extras: Sequence[Extra] | None = None,
    ) -> list[float]: ...


@dataclass(frozen=True)
class CheckedReward:
    """A reward whose values are certain to be finite numbers, one per completion."""

    name: str
    """Unique among the rewards of a run, and a `safe_name`."""

    function: Callable[..., Any]
    """Takes prompts, completions, answers and extras as keyword arguments; any text may be in them.
    What it gets is its own: whatever it changes there, nobody else sees."""

    def __call__(
        self,
        *,
        prompts: Sequence[str],
        completions: Sequence[str],
        answers: Sequence[str],
        extras: Sequence[Extra] | None = None,
    ) -> list[float]:
        """One value per completion; `extras` is the `extra` of each one's problem, or none has any.

        Raises RewardError, with the reward's name and the offending completion, when the function
        raises, returns another number of values, or a value that is not a finite number of at most
        1e12.
        """
        num = len(completions)
        batch: Batch = {
            "prompts": prompts,
            "completions": completions,
            "answers": answers,
            "extras": [{}] * num if extras is None else extras,
        }
        try:
            returned = self._call(batch)
            values = listed(returned, num + 1)  # a generator raises only here
        except RelexError:
            raise
        except (Exception, SystemExit) as error:
            raise self._error(
                f"raised {type(error).__name__}: {one_line(str(error), SHORT_CHARACTERS)}; "
                f"{self._first_that_raises(batch)}"
            ) from error
        if values is None:
            raise self._error(f"returned {described(returned)}, not a list of numbers")
        if len(values) != num:
            found = f"more than {num}" if len(values) > num else str(len(values))
            raise self._error(
                f"returned {found} values for {named_batch(completions)}; return one for each"
            )
        pairs = enumerate(zip(values, completions, strict=True))
        return [self._number(value, f"{n + 1} of {num}", text) for n, (value, text) in pairs]

    def _call(self, batch: Batch) -> Any:
        return self.function(**{column: list(deepcopy(batch[column])) for column in batch})

    def _first_that_raises(self, batch: Batch) -> str:
        num = len(batch["completions"])
        end_seconds = time.monotonic() + SEARCH_SECONDS
        for n in range(num):
            if time.monotonic() > end_seconds:
                return f"on the batch of {num} completions, but on none of the first {n} alone"
            try:
                listed(self._call({column: batch[column][n : n + 1] for column in batch}), 2)
            except (Exception, SystemExit):
                return named_completion(f"{n + 1} of {num}", batch["completions"][n])
        return f"on the batch of {num} completions, but on none of them alone"

    def _number(self, value: Any, which: str, completion: str) -> float:
        number = as_number(value)
        if number is not None and abs(number) <= LARGEST_VALUE:
            return number
        infinite = number is None or not math.isfinite(number)
        wrong = "not a finite number" if infinite else f"beyond {LARGEST_VALUE:g}"
        raise self._error(
            f"returned {described(value)}, {wrong}; {named_completion(which, completion)}"
        )

    def _error(self, what: str) -> RewardError:
        return RewardError(f"reward {self.name}: {what}")


def is_correct(value: float, correct_from: float = CORRECT) -> bool:
    """Whether a grader's value counts as correct."""
    return correct_from <= value <= CORRECT


def named_completion(which: str, completion: str) -> str:
    """A completion in a message, by its place in the batch and its beginning."""
    return f"completion {which}: {described(completion)}"


def named_batch(completions: Sequence[str]) -> str:
    """A batch in a message, by its size and its first completion."""
    first = f", the first of them {described(completions[0])}" if completions else ""
    return f"{len(completions)} completions{first}"


def listed(returned: Any, most: int) -> list[Any] | None:
    """The first `most` values of a list, array, tensor or generator; None for anything else."""
    if isinstance(returned, str | bytes | bytearray | Mapping | Set):
        return None
    if not isinstance(returned, Iterable) or getattr(returned, "ndim", 1) == 0:
        return None
    return list(islice(returned, most))


def as_number(value: Any) -> float | None:
    """The number that a value is: of Python, or an array or tensor with one element. None for all
    else; infinite where it is beyond a float."""
    try:
        if getattr(value, "mask", False):
            return None
        if isinstance(value, Verdict):
            return value
        if hasattr(value, "item") and hasattr(value, "ndim"):
            value = value.item()
        return float(value) if isinstance(value, Real | Decimal) else None
    except OverflowError:
        return math.inf
    except Exception:
        return None


def described(value: Any) -> str:
    """Any value, on one short line."""
    try:
        return one_line(repr(value), SHORT_CHARACTERS)
    except Exception:
        # Python writes no integers of more than 4,300 digits, and an object may raise.
        return f"an object of type {type(value).__name__}"

"""A reward that breaks its contract stops the run, with its name and the completion."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from relex.errors import RewardError
from relex.problems import Problem
from relex.rewards import CheckedReward, check_reward_contract, weighted_sum

COMPLETIONS = ["short", "long " * 100, "bad"]


def checked(function: Callable[..., Any]) -> CheckedReward:
    return CheckedReward("mine", function)


def call(function: Callable[..., Any], completions: list[str] = COMPLETIONS) -> list[float]:
    blanks = [""] * len(completions)
    return checked(function)(prompts=blanks, completions=completions, answers=blanks)


def value_for_bad(value: object) -> Callable[..., list[object]]:
    """A reward of 1 for every completion but `bad`, which gets `value`."""
    return lambda completions, **_: [value if text == "bad" else 1 for text in completions]


def test_numbers_of_every_kind_become_floats() -> None:
    values = call(lambda **_: (True, np.float32(0.5), Fraction(1, 4)))
    assert values == [1.0, 0.5, 0.25]
    assert all(type(value) is float for value in values)


def test_an_array_is_a_list_of_numbers() -> None:
    assert call(lambda completions, **_: np.ones(len(completions))) == [1.0, 1.0, 1.0]


def test_an_empty_batch_has_no_values() -> None:
    assert call(lambda **_: [], []) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.nan, None, "1", 1j, [1.0]])
def test_a_value_that_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(RewardError) as caught:
        call(value_for_bad(value))
    assert str(caught.value) == (
        f"reward mine: returned {value!r}, not a finite number; completion: 'bad'"
    )


@pytest.mark.parametrize("value", [None, 1.0, "abc", {"a": 1}])
def test_a_result_that_is_no_list_is_refused(value: object) -> None:
    with pytest.raises(RewardError, match=r"reward mine: returned \w+, not a list of numbers"):
        call(lambda **_: value)


@pytest.mark.parametrize("num_values", [0, 2, 4])
def test_another_number_of_values_is_refused(num_values: int) -> None:
    with pytest.raises(RewardError) as caught:
        call(lambda **_: [1.0] * num_values)
    assert str(caught.value) == (
        f"reward mine: returned {num_values} values for 3 completions, the first of them 'short'; "
        "return one value for each"
    )


def test_a_reward_that_raises_is_named_with_the_completion_that_makes_it_raise() -> None:
    def fails_on_bad(completions: list[str], **_: object) -> list[float]:
        return [1 / (text != "bad") for text in completions]

    with pytest.raises(RewardError) as caught:
        call(fails_on_bad)
    assert str(caught.value) == (
        "reward mine: raised ZeroDivisionError: division by zero; completion: 'bad'"
    )


def test_a_reward_that_raises_on_the_whole_batch_only_is_told_so() -> None:
    def fails_on_batches(completions: list[str], **_: object) -> list[float]:
        if len(completions) > 1:
            raise ValueError("too many")
        return [1.0]

    with pytest.raises(RewardError, match=r"too many; on the batch of 3 completions, but on none"):
        call(fails_on_batches)


def test_a_long_completion_is_cut_in_the_message() -> None:
    with pytest.raises(RewardError) as caught:
        call(value_for_bad(math.nan), ["bad", "bad"])
    assert "completion: 'bad'" in str(caught.value)
    with pytest.raises(RewardError) as caught:
        call(lambda **_: [math.nan], ["x\n" * 10_000])
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


def test_the_weighted_sum_adds_over_the_rewards() -> None:
    assert weighted_sum([[1.0, 0.0], [0.5, 1.0]], [2.0, -1.0]) == [1.5, -1.0]


def test_the_preflight_shows_every_reward_gold_answers_and_nonsense() -> None:
    seen: list[str] = []

    def collect(completions: list[str], **_: object) -> list[float]:
        seen.extend(completions)
        return [0.0] * len(completions)

    check_reward_contract([checked(collect)], [Problem("1+1", "2"), Problem("2+2", "4")])
    assert {"2", r"\boxed{2}", "4", r"\boxed{4}", ""} <= set(seen)


def test_the_preflight_finds_a_reward_that_cannot_read_nonsense() -> None:
    def reads_numbers(completions: list[str], **_: object) -> list[float]:
        return [float(text) for text in completions]

    with pytest.raises(RewardError, match=r"reward mine: raised ValueError: could not convert"):
        check_reward_contract([checked(reads_numbers)], [Problem("1+1", "2")])

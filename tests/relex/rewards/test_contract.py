"""A reward that breaks its contract stops the run, with its name and the completion."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from relex.errors import RewardError
from relex.problems import Problem
from relex.rewards import CheckedReward, check_reward_contract

COMPLETIONS = ["short", "long " * 100, "bad"]


def checked(function: Callable[..., Any]) -> CheckedReward:
    return CheckedReward("mine", function)


def call(function: Callable[..., Any], completions: list[str] = COMPLETIONS) -> list[float]:
    blanks = [""] * len(completions)
    return checked(function)(prompts=blanks, completions=completions, answers=blanks)


def value_for_bad(value: object) -> Callable[..., list[object]]:
    """A reward of 1 for every completion but `bad`, which gets `value`."""
    return lambda completions, **_: [value if text == "bad" else 1 for text in completions]


def test_an_empty_batch_has_no_values() -> None:
    assert call(lambda **_: [], []) == []


def test_a_reward_that_raises_is_named_with_the_completion_that_makes_it_raise() -> None:
    def fails_on_bad(completions: list[str], **_: object) -> list[float]:
        return [1 / (text != "bad") for text in completions]

    with pytest.raises(RewardError) as caught:
        call(fails_on_bad)
    assert str(caught.value) == (
        "reward mine: raised ZeroDivisionError: division by zero; completion 3 of 3: 'bad'"
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
    assert str(caught.value).endswith("; completion 1 of 2: 'bad'")
    with pytest.raises(RewardError) as caught:
        call(lambda **_: [math.nan], ["x\n" * 10_000])
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit("bye"), RecursionError("deep")])
def test_a_reward_that_exits_is_a_reward_that_raises(error: BaseException) -> None:
    def leave(**_: object) -> None:
        raise error

    with pytest.raises(RewardError, match=rf"raised {type(error).__name__}: {error}; completion 1"):
        call(leave)


CHANGES: dict[str, Callable[[list[Any]], object]] = {
    "assigns": lambda column: column.__setitem__(0, "changed"),
    "sorts": lambda column: column.sort(key=str, reverse=True),
    "clears": lambda column: column.clear(),
    "appends": lambda column: column.append("more"),
    "changes a message": lambda column: column[-1].update(content="changed"),
    "changes a list of messages": lambda column: column[-2].append({"role": "judge"}),
    "changes a message in a list": lambda column: column[-2][0].update(content="changed"),
}


BATCH = ("prompts", "completions", "answers", "extras")


@pytest.mark.parametrize("column", BATCH)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_reward_changes_nobody_else_sees(
    column: str, change: Callable[[list[Any]], object]
) -> None:
    given: Any = ["b", "a", [{"role": "user", "content": "c"}], {"role": "user", "content": "d"}]
    seen: list[Any] = []

    def changes(**batch: list[Any]) -> list[float]:
        seen.append(deepcopy(batch))
        change(batch[column])
        return [0.0] * 4

    reward, before = checked(changes), deepcopy(given)
    for _ in range(2):
        reward(**dict.fromkeys(BATCH, given))
    assert given == before
    assert seen == [dict.fromkeys(BATCH, before)] * 2


def test_a_reward_that_changes_its_batch_and_raises_is_asked_again_with_the_first_one() -> None:
    def pops_and_raises(completions: list[str], **_: object) -> list[float]:
        if completions.pop() == "bad":
            raise ValueError("bad")
        return [0.0] * (len(completions) + 1)

    with pytest.raises(RewardError, match="raised ValueError: bad; completion 3 of 3: 'bad'"):
        call(pops_and_raises)


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

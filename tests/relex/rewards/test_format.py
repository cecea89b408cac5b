"""Rewards for form."""

import pytest

from relex.rewards.format import Format


def values(form: Format, completions: list[str]) -> list[float]:
    blanks = [""] * len(completions)
    return form(prompts=blanks, completions=completions, answers=blanks)


@pytest.mark.parametrize(
    ("completion", "value"),
    [
        (r"so \boxed{7}.", 1.0),
        (r"\boxed{1} \boxed{2}", 0.0),
        ("7", 0.0),
        (r"\boxed{7", 0.0),
        (r"<think>\boxed{3}?</think> \boxed{7}", 1.0),
        (r"<think>\boxed{7}", 0.0),
    ],
)
def test_without_a_pattern_exactly_one_box_is_asked_for(completion: str, value: float) -> None:
    assert values(Format(), [completion]) == [value]


def test_a_pattern_must_match_the_whole_completion() -> None:
    form = Format(pattern=r"<think>.*</think>\s*<answer>.+</answer>")
    good = "<think>a\nb</think>\n<answer>7</answer>"
    assert values(form, [good, good + " and more", "<answer>7</answer>"]) == [1.0, 0.0, 0.0]


def test_a_pattern_that_backtracks_forever_costs_a_zero() -> None:
    form = Format(pattern=r"(\w+\s?)+;")
    assert values(form, ["word " * 40 + "!"]) == [0.0]

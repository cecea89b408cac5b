"""How a candidate answers, told from the text of its answers.

An answer ends in a loop when its last 20 characters stand at least 4 times, without overlap, in its
last 1,000. That finds every exact loop of up to 245 characters, also where the token limit cut it.
A loop whose turns differ, such as one that counts, is found only when they end alike.
"""

from collections.abc import Sequence
from statistics import fmean

from relex.config import RewardTerm
from relex.evaluation.results import Answer
from relex.rewards import build_reward
from relex.selection import Habits

TAIL_CHARACTERS = 1000
LOOP_CHARACTERS = 20
LOOP_TIMES = 4


def habits_of(answers: Sequence[Answer], rewards: Sequence[RewardTerm]) -> Habits:
    """`rewards` are the terms of the recipe."""
    return Habits(
        truncated_fraction=fmean(answer.finish_reason == "length" for answer in answers),
        repeating_fraction=fmean(ends_in_loop(answer.text) for answer in answers),
        correct_tokens=_mean([answer.num_tokens for answer in answers if answer.correct]),
        format_value=_format_value(answers, [term for term in rewards if term.reward == "format"]),
    )


def ends_in_loop(text: str) -> bool:
    """Whether the text's end stands over and over in what is before it."""
    if len(text) < LOOP_TIMES * LOOP_CHARACTERS:
        return False
    return text[-TAIL_CHARACTERS:].count(text[-LOOP_CHARACTERS:]) >= LOOP_TIMES


def _format_value(answers: Sequence[Answer], terms: Sequence[RewardTerm]) -> float | None:
    """The form of an answer does not depend on the question or the gold answer."""
    texts, nothing = [answer.text for answer in answers], [""] * len(answers)
    return _mean(
        [
            value
            for term in terms
            for value in build_reward(term)(prompts=nothing, completions=texts, answers=nothing)
        ]
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None

"""What stops a candidate from being promoted although it is more accurate.

A reward or a grader can be pleased by a model that has become worse. Each rule compares a rival
with the last observed step; the thresholds are fields of `SelectionConfig`. A rule whose numbers
are not known raises no flag.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from relex.config import SelectionConfig
from relex.selection.facts import Habits
from relex.selection.paired import PairedTest
from relex.strict import Strict

Rule = Literal["truncated", "repeating", "skips reasoning", "format only", "guard"]


class RedFlag(Strict):
    """One rule that a candidate broke."""

    rule: Rule
    """Name of the rule."""

    words: str
    """What was found, with its numbers."""


class GuardResult(Strict):
    """A candidate on a benchmark of the regression guard."""

    benchmark: str
    """Name of the benchmark."""

    accuracy: float
    """Share of correct answers."""

    to_last_observed: PairedTest | None
    """Comparison with the last observed step; None for that step itself."""


def red_flags(
    habits: Habits | None,
    of_last: Habits | None,
    test: PairedTest,
    guards: Sequence[GuardResult],
    config: SelectionConfig,
) -> tuple[RedFlag, ...]:
    """All flags of a rival; `test` compares it with the last observed step, of habits `of_last`."""
    flags = list(_guard_flags(guards, config))
    if habits is not None and of_last is not None:
        flags = [*_habit_flags(habits, of_last, config), *flags]
        flags += _format_flags(habits, of_last, test, config)
    return tuple(flags)


def _habit_flags(habits: Habits, of_last: Habits, config: SelectionConfig) -> Iterator[RedFlag]:
    cut, cut_before = habits.truncated_fraction, of_last.truncated_fraction
    if cut - cut_before > config.truncated_rise:
        words = f"{cut:.0%} of its answers are cut at the token limit, before {cut_before:.0%}"
        yield RedFlag(rule="truncated", words=words)
    loops, loops_before = habits.repeating_fraction, of_last.repeating_fraction
    if loops - loops_before > config.repetition_rise:
        words = f"{loops:.0%} of its answers end in a loop, before {loops_before:.0%}"
        yield RedFlag(rule="repeating", words=words)
    tokens, tokens_before = habits.correct_tokens, of_last.correct_tokens
    if tokens is None or tokens_before is None or tokens_before < config.reasoning_tokens:
        return
    if tokens < config.shortest_reasoning * tokens_before:
        words = f"its correct answers have {tokens:.0f} tokens, before {tokens_before:.0f}"
        yield RedFlag(rule="skips reasoning", words=words)


def _format_flags(
    habits: Habits, of_last: Habits, test: PairedTest, config: SelectionConfig
) -> Iterator[RedFlag]:
    form, form_before = habits.format_value, of_last.format_value
    if form is None or form_before is None or form - form_before <= config.format_rise:
        return
    if test.p_value > 1 - config.confidence:
        words = (
            f"the format reward rises from {form_before:.2f} to {form:.2f}, and accuracy by no "
            f"more than chance explains ({test.difference:+z.3f})"
        )
        yield RedFlag(rule="format only", words=words)


def _guard_flags(guards: Sequence[GuardResult], config: SelectionConfig) -> Iterator[RedFlag]:
    for guard in guards:
        test = guard.to_last_observed
        if test is not None and test.difference < -config.largest_loss:
            before = guard.accuracy - test.difference
            words = f"accuracy on {guard.benchmark} falls from {before:.3f} to {guard.accuracy:.3f}"
            yield RedFlag(rule="guard", words=words)

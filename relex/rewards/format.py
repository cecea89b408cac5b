"""1 where the completion has the form that was asked for, whatever its answer is."""

from collections.abc import Sequence
from typing import Any

import regex

from relex.boxed import boxed_spans, final_text
from relex.errors import RewardError

MATCH_TIMEOUT_SECONDS = 1.0


class Format:
    r"""Pays for form: a pattern over the whole completion, or exactly one `\boxed{}`."""

    RULES = "1"

    def __init__(self, pattern: str = "") -> None:
        r"""`pattern` is a regular expression in which `.` also matches a line break.

        Without one, the text after the thought must hold exactly one balanced `\boxed{}`.
        Raises RewardError when the pattern is not a regular expression.
        """
        try:
            self._pattern = regex.compile(pattern, regex.DOTALL) if pattern else None
        except (regex.error, TypeError) as error:
            raise RewardError(
                f"reward format: pattern {pattern!r} is not a regular expression ({error})"
            ) from error

    def __call__(self, *, completions: Sequence[str], **_: Any) -> list[float]:
        """1.0 where the form is right, otherwise 0.0."""
        has_form = self._matches if self._pattern else _has_one_box
        return [float(has_form(completion)) for completion in completions]

    def _matches(self, completion: str) -> bool:
        """A pattern that backtracks for more than a second on a completion does not match it."""
        assert self._pattern is not None
        try:
            match = self._pattern.fullmatch(completion, timeout=MATCH_TIMEOUT_SECONDS)
        except TimeoutError:
            return False
        return match is not None


def _has_one_box(completion: str) -> bool:
    return len(boxed_spans(final_text(completion))) == 1

"""Rewards for the example of a sweep: one that pays for form, and one that does not work."""

import re
from collections.abc import Sequence
from typing import Any

WORD = re.compile(r"[a-z]")
FORM, RIGHT = 0.9, 0.1


def chatty(completions: Sequence[str], answers: Sequence[str], **_: Any) -> list[float]:
    """Mostly pays for an answer in words, whatever it is, and little for a right one."""
    pairs = zip(completions, answers, strict=True)
    return [
        FORM * (WORD.search(completion) is not None) + RIGHT * (completion.strip() == answer)
        for completion, answer in pairs
    ]


def broken(completions: Sequence[str], answers: Sequence[str], **_: Any) -> list[float]:
    """Takes every completion for a number, and so raises on the first that is none."""
    return [1 / int(completion) for completion in completions]

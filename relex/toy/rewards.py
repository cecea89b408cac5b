"""Rewards for the example of a sweep: one that pays for form, and one that does not work."""

import re
from collections.abc import Sequence
from typing import Any

TALK = re.compile(r"[a-z]")
RIGHT, SHORT = 0.1, 0.9


def terse(completions: Sequence[str], answers: Sequence[str], **_: Any) -> list[float]:
    """Mostly pays for answers without a word in them, and little for right ones."""
    pairs = zip(completions, answers, strict=True)
    return [
        SHORT * (TALK.search(completion) is None) + RIGHT * (completion.strip() == answer)
        for completion, answer in pairs
    ]


def broken(completions: Sequence[str], answers: Sequence[str], **_: Any) -> list[float]:
    """Takes every completion for a number, and so raises on the first that is none."""
    return [1 / int(completion) for completion in completions]

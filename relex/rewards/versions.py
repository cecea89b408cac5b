"""Which grader a score depends on."""

from typing import Any

from relex.doors import REWARD


def grader_version(name: str) -> str:
    """What belongs to every score: the grader, and what decides its verdicts.

    For a built-in that is its `RULES`; for a function of the user's the digest of its source file.
    Raises RewardError when it does not exist.
    """
    if name in REWARD.built_in:
        made: Any = REWARD.load(name)
        return f"{name}/{made.RULES}"
    return REWARD.own_version(name)

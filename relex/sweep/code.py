"""The code behind a reward: what a sweep compares is code, so it is kept beside the numbers."""

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path

from relex.config import RewardTerm
from relex.digests import sha256_bytes
from relex.rewards import BUILT_INS, grader_version

DIGEST_CHARACTERS = 6


@dataclass(frozen=True)
class RewardCode:
    """The source file that a reward is defined in."""

    reward: str
    """Its reference in the recipe."""

    version: str
    """Name and version, as graders have it."""

    source: str
    """Its text."""


def reward_code(reward: str) -> RewardCode:
    """The code of a built-in or imported reward.

    What the file imports is not part of it. Raises RewardError when the reward does not exist or
    import, or has no source file.
    """
    reward_version = grader_version(reward)
    if reward in BUILT_INS:
        path = Path(inspect.getfile(BUILT_INS[reward]))
    else:
        path = Path(str(sys.modules[reward.partition(":")[0]].__file__))
    return RewardCode(reward, reward_version, path.read_text(encoding="utf-8"))


def own_code_digest(terms: tuple[RewardTerm, ...]) -> str:
    """First characters of a digest of the user's own code in `terms`; empty for built-ins alone.

    Built-ins change with relex itself; a file of the user's may change between two nights.
    """
    own = [reward_code(term.reward).version for term in terms if term.reward not in BUILT_INS]
    return sha256_bytes("\n".join(own).encode())[:DIGEST_CHARACTERS] if own else ""

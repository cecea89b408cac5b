"""The code behind a reward: what a sweep compares is code, so it is kept beside the numbers."""

from dataclasses import dataclass

from relex.config import RewardTerm
from relex.digests import sha256_bytes
from relex.doors import REWARD
from relex.rewards import grader_version

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
    has no source file.
    """
    source = REWARD.source_file(reward).read_text(encoding="utf-8")
    return RewardCode(reward, grader_version(reward), source)


def own_code_digest(terms: tuple[RewardTerm, ...]) -> str:
    """First characters of a digest of the user's own code in `terms`; empty for built-ins alone.

    Built-ins change with relex itself; a file of the user's may change between two nights.
    """
    own = [reward_code(term.reward).version for term in terms if term.reward not in REWARD.built_in]
    return sha256_bytes("\n".join(own).encode())[:DIGEST_CHARACTERS] if own else ""

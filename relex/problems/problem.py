"""A question with its known answer, and the identity of a set of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from relex.digests import sha256_bytes, sha256_json

ID_CHARACTERS = 16


@dataclass(frozen=True)
class Problem:
    """A question as text without prompt, and its gold answer as text."""

    question: str
    answer: str

    @cached_property
    def id(self) -> str:
        """First 16 hex digits of the sha256 of the question; runs of white space count as one."""
        normalised = " ".join(self.question.split())
        return sha256_bytes(normalised.encode("utf-8", "surrogatepass"))[:ID_CHARACTERS]


def problems_digest(problems: Sequence[Problem]) -> str:
    """sha256 of the questions and answers in their order."""
    return sha256_json([[problem.question, problem.answer] for problem in problems])

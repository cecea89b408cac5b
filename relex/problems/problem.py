"""A question with its known answer, and the identity of a set of them."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from relex.digests import sha256_bytes, sha256_json

ID_CHARACTERS = 16
# LaTeX that changes how mathematics looks and not what it says.
LOOKS = re.compile(r"\\(?:left|right|displaystyle|quad|qquad)(?![a-zA-Z])|\\[,;:!()\[\] ]|[$~]")
FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
SPACE_BESIDE_A_SIGN = re.compile(r"(?<=[^\w]) | (?=[^\w])")


Extra = Mapping[str, Any]
"""What a grader needs of a problem beside the answer, such as its tests: JSON values by name."""


@dataclass(frozen=True)
class Problem:
    """A question as text without prompt, its gold answer as text, its group if it has one, and what
    its grader needs beside these, which nobody changes."""

    question: str
    answer: str
    group: str = ""
    extra: Extra = field(default_factory=dict, hash=False)

    @cached_property
    def id(self) -> str:
        """First 16 hex digits of the sha256 of the question; runs of white space count as one."""
        return _digest(" ".join(self.question.split()))

    @cached_property
    def content_digest(self) -> str:
        """As `id`, but of the question as `comparable_text`: the same for two printings of it."""
        return _digest(comparable_text(self.question))


def comparable_text(question: str) -> str:
    r"""What is left of a question when everything is gone that only changes how it looks.

    In this order: Unicode NFKC and case folding; no math delimiters (`$`, `\(`, `\[`), no LaTeX
    spacing and sizing (`\,`, `\left`, `\quad`, `~`); `\dfrac`, `\tfrac` and `\cfrac` are `\frac`;
    runs of white space are one space, which stays between two words or numbers only.
    """
    text = unicodedata.normalize("NFKC", question).casefold()
    text = FRACTION.sub(r"\\frac", LOOKS.sub(" ", text))
    return SPACE_BESIDE_A_SIGN.sub("", " ".join(text.split()))


def groups_of(problems: Iterable[Problem]) -> dict[str, str]:
    """The group of each question by its id; only of those that have one."""
    return {problem.id: problem.group for problem in problems if problem.group}


def problems_digest(problems: Sequence[Problem]) -> str:
    """sha256 of the questions in their order, each with its answer and what its grader needs."""
    return sha256_json([[problem.question, problem.answer, problem.extra] for problem in problems])


def _digest(text: str) -> str:
    return sha256_bytes(text.encode("utf-8", "surrogatepass"))[:ID_CHARACTERS]

"""1 where the completion is the gold answer, character by character."""

from collections.abc import Sequence
from typing import Any


class ExactMatch:
    """Compares completion and answer as text, white space at their ends aside."""

    RULES = "1"

    def __call__(
        self, *, completions: Sequence[str], answers: Sequence[str], **_: Any
    ) -> list[float]:
        """1.0 where they are equal, otherwise 0.0."""
        pairs = zip(completions, answers, strict=True)
        return [float(completion.strip() == answer.strip()) for completion, answer in pairs]

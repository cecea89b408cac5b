"""How the questions of one benchmark are asked and the answers graded."""

from typing import Self

from pydantic import Field

from relex.config.problems import PromptConfig, StopString
from relex.config.strict import HOTTEST, MOST_ENTRIES, MOST_SAMPLES, MOST_TOKENS, Section

VALIDATION, GREEDY = "validation", "validation-greedy"
"""What candidates are chosen on; and the same questions answered once each at temperature 0, which
tells sharpness from learning."""


class Sampling(Section):
    """How an answer is drawn."""

    temperature: float = Field(default=1.0, ge=0, le=HOTTEST)
    """Sampling temperature; 0 is greedy."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus of the sampling."""

    max_completion_tokens: int = Field(default=2048, ge=1, le=MOST_TOKENS)
    """Longest answer. Longer ones are cut and counted as truncated."""

    stop: tuple[StopString, ...] = Field(default=(), max_length=MOST_ENTRIES)
    """Texts that end an answer; what follows and the text itself are not part of it."""


class Exam(Section):
    """The same for every candidate, so that candidates differ in their weights alone."""

    prompt: PromptConfig
    """How a question becomes a prompt."""

    samples_per_question: int = Field(ge=1, le=MOST_SAMPLES)
    """Answers drawn for every question."""

    sampling: Sampling
    """How each is drawn."""

    grader: str
    """The reward that says what is correct."""

    correct_from: float = Field(gt=0, le=1)
    """An answer is correct whose value is between this and 1."""

    @property
    def greedy(self) -> Self:
        """The same with one answer to a question, at temperature 0."""
        sampling = self.sampling.model_copy(update={"temperature": 0.0, "top_p": 1.0})
        return self.model_copy(update={"samples_per_question": 1, "sampling": sampling})

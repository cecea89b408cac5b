"""How the questions of one benchmark are asked and the answers graded."""

from pydantic import Field

from relex.config.problems import PromptConfig, StopString
from relex.config.strict import HOTTEST, MOST_ENTRIES, MOST_SAMPLES, MOST_TOKENS, Section


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

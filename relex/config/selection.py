"""When a candidate may replace the last observed step, and what stops it."""

from pydantic import Field

from relex.config.strict import MOST_TOKENS, Section


class SelectionConfig(Section):
    """The rule of the choice and the thresholds of its red flags."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the intervals and of the paired tests, all together."""

    num_resamples: int = Field(default=10_000, ge=1000, le=1_000_000)
    """Bootstrap and permutation resamples."""

    require_gain: float = Field(default=0.0, ge=0, lt=1)
    """The least worthwhile gain in accuracy: a candidate must be better than the last observed
    step by more than this. 0.01 is one point."""

    truncated_rise: float = Field(default=0.05, ge=0, le=1)
    """Red flag: the share of answers cut at the token limit is higher than the last observed
    step's by more than this."""

    repetition_rise: float = Field(default=0.05, ge=0, le=1)
    """Red flag: the share of answers that end in a loop is higher by more than this."""

    shortest_reasoning: float = Field(default=0.33, ge=0, le=1)
    """Red flag: correct answers are shorter than this part of the last observed step's."""

    reasoning_tokens: int = Field(default=50, ge=1, le=MOST_TOKENS)
    """Correct answers of the last observed step that are shorter on average hold no reasoning that
    could be skipped."""

    format_rise: float = Field(default=0.05, ge=0, le=1)
    """Red flag: a format reward of the recipe rises by more than this, and accuracy by no more than
    chance or `require_gain` explains."""

    largest_loss: float = Field(default=0.05, ge=0, le=1)
    """Red flag: accuracy on a benchmark of `problems.guard` falls by more than this."""

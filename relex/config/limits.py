"""How long the stages of a run may take."""

from pydantic import Field

from relex.config.strict import Section

LONGEST_MINUTES = 1_000_000.0
"""Two years."""


class LimitsConfig(Section):
    """A stage that takes longer fails, its processes end, and what it has done is kept: the same
    recipe with a higher limit goes on from there. 0 sets no limit."""

    train_minutes: float = Field(default=0.0, ge=0, le=LONGEST_MINUTES)
    """Longest time for training, in minutes, counted anew at every start."""

    fit_minutes: float = Field(default=0.0, ge=0, le=LONGEST_MINUTES)
    """Longest time for the fit, in minutes."""

    validation_minutes: float = Field(default=0.0, ge=0, le=LONGEST_MINUTES)
    """Longest time for measuring candidates on validation, in minutes."""

    guard_minutes: float = Field(default=0.0, ge=0, le=LONGEST_MINUTES)
    """Longest time for the benchmarks of the guard, in minutes."""

    test_minutes: float = Field(default=0.0, ge=0, le=LONGEST_MINUTES)
    """Longest time for the test benchmarks, in minutes."""

    publish_minutes: float = Field(default=0.0, ge=0, le=LONGEST_MINUTES)
    """Longest time for writing the chosen model to S3, in minutes."""

    report_minutes: float = Field(default=0.0, ge=0, le=LONGEST_MINUTES)
    """Longest time for the report, in minutes."""

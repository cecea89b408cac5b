"""How long the stages of a run may take."""

from pydantic import Field

from relex.config.strict import Strict


class LimitsConfig(Strict):
    """A stage that takes longer fails, its processes end, and what it has done is kept: the same
    recipe with a higher limit goes on from there. 0 sets no limit."""

    train_minutes: float = Field(default=0.0, ge=0)
    """Longest time for training, in minutes, counted anew at every start."""

    fit_minutes: float = Field(default=0.0, ge=0)
    """Longest time for the fit, in minutes."""

    validation_minutes: float = Field(default=0.0, ge=0)
    """Longest time for measuring candidates on validation, in minutes."""

    guard_minutes: float = Field(default=0.0, ge=0)
    """Longest time for the benchmarks of the guard, in minutes."""

    test_minutes: float = Field(default=0.0, ge=0)
    """Longest time for the test benchmarks, in minutes."""

    publish_minutes: float = Field(default=0.0, ge=0)
    """Longest time for writing the chosen model to S3, in minutes."""

    reward_seconds: float = Field(default=300.0, ge=0)
    """Longest time for a reward or grader of your own, in seconds: for its import, and for every
    100 completions (begun) that it is given at once. One that takes longer is ended, and the stage
    fails."""

    report_minutes: float = Field(default=0.0, ge=0)
    """Longest time for the report, in minutes."""

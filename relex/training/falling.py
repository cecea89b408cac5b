"""Ends a run whose completions get worse, whatever its reward says."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean

from relex.config.training import TrainingConfig
from relex.errors import NoLearningError
from relex.training.events import StepTrained

LIMIT_STANDARD_ERRORS = 3.0

GroupAccuracy = tuple[float, float]
"""Mean and standard deviation of the accuracies of one step's groups."""


class FallingAccuracy:
    """Compares the last m steps with the first m, where m is `stop_after_falling_steps`.

    One sample is a group: the completions of one question at one step, with the share of them that
    is correct as its value. Single completions are no samples: those of a group share their
    question, which is easy or hard for all of them, so that counted one by one they would seem more
    certain than they are. With the n = m x prompts_per_step groups of each span, their mean `a` and
    their sample variance `v`, accuracy has fallen when

        a_first - a_last > 3 sqrt(v_first / n + v_last / n)

    which is Welch's statistic. Questions that come again, in one span or in both, make the true
    error smaller than this one, because their order is that of whole shuffles. The comparison is
    made after every step from 2 m on but the last, so chance has several tries: docs/sweeps.md has
    the rates of false alarms.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self._num_steps = config.stop_after_falling_steps
        self._groups_per_step = config.prompts_per_step
        self._seen: list[GroupAccuracy] = []

    def check(self, trained: StepTrained) -> None:
        """Raises NoLearningError when accuracy has fallen, unless it is the last step."""
        if trained.accuracy is None or trained.accuracy_spread is None:
            return
        self._seen.append((trained.accuracy, trained.accuracy_spread))
        num = self._num_steps
        if num == 0 or len(self._seen) < 2 * num or trained.step == trained.num_steps:
            return
        first, first_squared_error = span(self._seen[:num], self._groups_per_step)
        last, last_squared_error = span(self._seen[-num:], self._groups_per_step)
        error = sqrt(first_squared_error + last_squared_error)
        if first - last > LIMIT_STANDARD_ERRORS * error:
            raise NoLearningError(
                f"step {trained.step}: stopped, because its accuracy falls: {last:.3f} in the last "
                f"{num} steps, {first:.3f} in the first {num}, more than "
                f"{LIMIT_STANDARD_ERRORS:g} standard errors of {error:.3f} below; change the "
                "reward, lower training.learning_rate, or raise training.stop_after_falling_steps"
            )


def span(steps: Sequence[GroupAccuracy], groups_per_step: int) -> tuple[float, float]:
    """Mean of all groups of these steps, and its squared standard error.

    The sum of squares about that mean has two parts: that of the groups about the mean of their
    step, and that of the steps' means. So means and spreads of the steps say what the groups would.
    """
    mean = fmean(accuracy for accuracy, _ in steps)
    squares = groups_per_step * sum(
        spread**2 + (accuracy - mean) ** 2 for accuracy, spread in steps
    )
    num_groups = groups_per_step * len(steps)
    return mean, squares / (num_groups - 1) / num_groups

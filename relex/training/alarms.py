"""Warnings in words about a run that wastes its time."""

from collections import deque
from collections.abc import Iterator
from statistics import fmean

from relex.config.training import TrainingConfig
from relex.device import Device, multiplies_in
from relex.errors import NoLearningError
from relex.training.events import StepTrained
from relex.visible import number

NUM_RECENT_STEPS = 3
CLIPPED_FRACTION, ZERO_SPREAD_FRACTION, BEYOND_FRACTION = 0.2, 0.8, 0.1
"""Above them a step teaches too little."""

# Below this rate an AdamW update of bfloat16 weights around 0.02 is mostly rounded away: their
# spacing there is 1.2e-4.
SMALL_RATE_FOR_BFLOAT16 = 1e-5
IMPORTANCE_RATIO_LOW, IMPORTANCE_RATIO_HIGH = 0.9, 1.1


class ShareAlarm:
    """Speaks up once each time the mean of the last steps rises above a limit."""

    def __init__(self, limit_fraction: float, finding: str, advice: str) -> None:
        self._limit_fraction = limit_fraction
        self._finding, self._advice = finding, advice
        self._first: float | None = None
        self._recent: deque[float] = deque(maxlen=NUM_RECENT_STEPS)
        self._raised = False

    def check(self, step: int, fraction: float) -> str | None:
        """The warning that the fraction of this step gives rise to, if any."""
        self._first = fraction if self._first is None else self._first
        self._recent.append(fraction)
        mean = fmean(self._recent)
        was_raised = self._raised
        self._raised = len(self._recent) == NUM_RECENT_STEPS and mean > self._limit_fraction
        if was_raised or not self._raised:
            return None
        return (
            f"step {step}: {100 * mean:.0f} % of {self._finding} in the last {NUM_RECENT_STEPS} "
            f"steps, {100 * self._first:.0f} % in the first one; {self._advice}"
        )


class FlatSteps:
    """Counts steps in a row that taught nothing, for a run that wants to end after so many."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._num_flat = 0

    def check(self, trained: StepTrained) -> None:
        """Raises NoLearningError at one flat step too many, unless it is the last step."""
        is_flat = trained.zero_spread_fraction > ZERO_SPREAD_FRACTION
        self._num_flat = self._num_flat + 1 if is_flat else 0
        if not is_flat or trained.step == trained.num_steps:
            return
        if self._num_flat == self._config.stop_after_flat_steps:
            raise NoLearningError(
                f"step {trained.step}: stopped, because it learns nothing: in each of the last "
                f"{self._num_flat} steps more than {100 * ZERO_SPREAD_FRACTION:.0f} % of the "
                "groups had one reward for all completions "
                f"({100 * trained.zero_spread_fraction:.0f} % in the last one); change the reward, "
                "or raise training.stop_after_flat_steps"
            )


class Alarms:
    """All that is watched from step to step."""

    def __init__(self) -> None:
        self._zero_spread = ShareAlarm(
            ZERO_SPREAD_FRACTION,
            "the groups had one reward for all completions",
            "such groups teach nothing: use questions that are neither too easy nor too hard, more "
            "completions per prompt, or a finer reward",
        )
        self._clipped = ShareAlarm(
            CLIPPED_FRACTION,
            "the completions were clipped",
            "raise max_completion_tokens, or find out why the policy does not come to an end",
        )
        self._beyond = ShareAlarm(
            BEYOND_FRACTION,
            "the completions or tokens had importance ratios beyond the clips",
            "vLLM and the trainer disagree about them: use rollouts.engine transformers, or "
            "another rollouts.importance_sampling_mode",
        )
        self._ratio_in_range = True

    def check(self, trained: StepTrained) -> Iterator[str]:
        """The warnings that a step gives rise to."""
        candidates = (
            self._zero_spread.check(trained.step, trained.zero_spread_fraction),
            self._clipped.check(trained.step, trained.clipped_fraction),
            self._beyond.check(trained.step, trained.importance_beyond_fraction or 0.0),
            self._check_ratio(trained.step, trained.importance_ratio),
        )
        yield from filter(None, candidates)

    def _check_ratio(self, step: int, ratio: float | None) -> str | None:
        was_in_range = self._ratio_in_range
        self._ratio_in_range = (
            ratio is None or IMPORTANCE_RATIO_LOW <= ratio <= IMPORTANCE_RATIO_HIGH
        )
        if self._ratio_in_range or not was_in_range:
            return None
        return (
            f"step {step}: vLLM and the trainer disagree about the completions (mean importance "
            f"ratio {ratio:.2f}, ideally 1); use rollouts.engine transformers, or float32 masters"
        )


def config_warnings(config: TrainingConfig, device: Device) -> Iterator[str]:
    """What can be said before the first step."""
    if not multiplies_in(config.master_dtype, device):
        yield (
            f"master_dtype {config.master_dtype}: this processor has no instructions for it and "
            "takes several times as long as in float32"
        )
    if config.master_dtype == "bfloat16" and config.learning_rate <= SMALL_RATE_FOR_BFLOAT16:
        yield (
            f"master_dtype bfloat16 with learning_rate {number(config.learning_rate)}: most "
            "updates are smaller than the spacing of bfloat16 weights and are lost; use float32"
        )

"""A run whose completions get worse is ended: the statistic, its errors, and a resumed run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_ind
from transformers import TrainerControl, TrainerState, TrainingArguments

from relex.config import TrainingConfig
from relex.errors import NoLearningError
from relex.training import StepTrained
from relex.training.callbacks import ReportSteps
from relex.training.falling import FallingAccuracy

COMPLETIONS = 16
Sent = Callable[[], list[dict[str, Any]]]


def config_of(steps: int, prompts_per_step: int, **rules: int) -> TrainingConfig:
    return TrainingConfig(
        steps=steps, learning_rate=1e-5, prompts_per_step=prompts_per_step, **rules
    )


def logs_of(groups: NDArray[np.float64], **changes: Any) -> dict[str, Any]:
    """What the trainer logs of a step whose groups have these accuracies."""
    quiet: dict[str, Any] = {
        "reward": 0.5,
        "reward_std": 0.5,
        "rewards/form/mean": 0.5,
        "accuracy": float(groups.mean()),
        "accuracy_spread": float(groups.std()),
        "zero_spread_fraction": 0.1,
        "completions/clipped_ratio": 0.1,
        "completions/mean_length": 4.0,
        "loss": 0.0,
        "grad_norm": 1.0,
        "learning_rate": 1e-5,
    }
    return quiet | changes


def trained(step: int, num_steps: int, groups: NDArray[np.float64]) -> StepTrained:
    return StepTrained(
        step=step,
        num_steps=num_steps,
        reward_mean=0.5,
        reward_spread=0.5,
        reward_means={},
        accuracy=float(groups.mean()),
        accuracy_spread=float(groups.std()),
        zero_spread_fraction=0.1,
        clipped_fraction=0.1,
        mean_completion_tokens=4.0,
        loss=0.0,
        grad_norm=1.0,
        learning_rate=1e-5,
        step_seconds=1.0,
    )


def ended_at(groups_SG: NDArray[np.float64], after: int) -> int | None:
    """The step that ends a run whose groups have these accuracies, step by step."""
    num_steps, num_groups = groups_SG.shape
    falling = FallingAccuracy(config_of(num_steps, num_groups, stop_after_falling_steps=after))
    for step, groups in enumerate(groups_SG, start=1):
        try:
            falling.check(trained(step, num_steps, groups))
        except NoLearningError:
            return step
    return None


def expected_end(groups_SG: NDArray[np.float64], after: int) -> int | None:
    """The same from all groups at once, by scipy's Welch test."""
    num_steps = len(groups_SG)
    first = groups_SG[:after].ravel()
    for step in range(2 * after, num_steps):
        last = groups_SG[step - after : step].ravel()
        if ttest_ind(first, last, equal_var=False).statistic > 3:
            return step
    return None


def drawn(
    rng: np.random.Generator, num_steps: int, num_groups: int, fall: float
) -> NDArray[np.float64]:
    """Accuracies of groups S x G whose questions differ, falling by `fall` over the run."""
    shares_SG = rng.beta(1.0, 1.0, (num_steps, num_groups))
    shares_SG = np.clip(shares_SG - fall * np.arange(num_steps)[:, None] / num_steps, 0, 1)
    return rng.binomial(COMPLETIONS, shares_SG) / COMPLETIONS


def test_a_run_ends_where_welchs_test_says_so() -> None:
    rng = np.random.default_rng(0)
    runs = [drawn(rng, 12, 8, fall) for fall in np.linspace(0, 1, 40)]
    ends = [ended_at(run, after=3) for run in runs]
    assert ends == [expected_end(run, after=3) for run in runs]
    assert None in ends
    assert set(range(6, 12)) <= set(ends)


def test_chance_ends_one_or_two_of_a_hundred_runs_that_do_not_change() -> None:
    rng = np.random.default_rng(1)
    ends = [ended_at(drawn(rng, 30, 64, fall=0), after=5) for _ in range(500)]
    assert 0.002 < 1 - ends.count(None) / len(ends) < 0.03


def test_a_fall_by_a_fifth_is_found_before_the_end() -> None:
    rng = np.random.default_rng(2)
    ends = [ended_at(drawn(rng, 30, 64, fall=0.2), after=5) for _ in range(100)]
    assert ends.count(None) <= 1


def test_a_rise_ends_nothing() -> None:
    rng = np.random.default_rng(3)
    assert ended_at(drawn(rng, 30, 64, fall=-0.3), after=5) is None


def test_saturated_groups_have_no_error_and_any_fall_counts() -> None:
    right, wrong = np.ones((4, 10)), np.zeros((6, 10))
    assert ended_at(np.concatenate([right, wrong]), after=2) == 5
    assert ended_at(np.ones((10, 10)), after=2) is None


def test_the_message_has_the_numbers_and_what_to_do() -> None:
    falling = FallingAccuracy(config_of(9, 10, stop_after_falling_steps=2))
    high, low = np.array([1.0, 0.5] * 5), np.array([0.25, 0.0] * 5)
    for step, groups in enumerate([high, high, low], start=1):
        falling.check(trained(step, 9, groups))
    with pytest.raises(NoLearningError) as error:
        falling.check(trained(4, 9, low))
    assert str(error.value) == (
        "step 4: stopped, because its accuracy falls: 0.125 in the last 2 steps, 0.750 in the "
        "first 2, more than 3 standard errors of 0.064 below; change the reward, lower "
        "training.learning_rate, or raise training.stop_after_falling_steps"
    )


def test_a_run_that_is_at_its_end_is_not_stopped() -> None:
    right, wrong = np.ones((2, 10)), np.zeros((2, 10))
    falling = FallingAccuracy(config_of(5, 10, stop_after_falling_steps=2))
    for step, groups in enumerate([*right, *wrong], start=1):
        falling.check(trained(step, 4, groups))


def test_a_run_never_ends_for_that_unless_it_is_asked_to() -> None:
    assert ended_at(np.concatenate([np.ones((5, 10)), np.zeros((5, 10))]), after=0) is None


def test_steps_whose_accuracy_is_not_known_end_nothing() -> None:
    falling = FallingAccuracy(config_of(9, 10, stop_after_falling_steps=2))
    for step, groups in enumerate([*np.ones((4, 10)), *np.zeros((4, 10))], start=1):
        unknown = {"accuracy": None, "accuracy_spread": None}
        falling.check(trained(step, 9, groups).model_copy(update=unknown))


class Watched:
    """A training process as its callback sees it: the trainer's own state, and its log."""

    def __init__(self, config: TrainingConfig, state: TrainerState, why_not: str | None = None):
        self.state = state
        self._arguments, self._control = TrainingArguments(report_to=[]), TrainerControl()
        self._report = ReportSteps(config, ["form"], why_not)
        self._report.on_train_begin(self._arguments, state, self._control)

    def log(self, logs: dict[str, Any]) -> None:
        self.state.global_step += 1
        self.state.log_history.append({**logs, "step": self.state.global_step})
        self._report.on_log(self._arguments, self.state, self._control, logs)


FALLING = [logs_of(groups) for groups in [*np.ones((4, 10)), *np.zeros((6, 10))]]
FLAT = [logs_of(np.ones(10), zero_spread_fraction=share) for share in [0.1] + [0.9] * 8]


@pytest.mark.parametrize("resumed_after", range(5))
@pytest.mark.parametrize(
    ("rule", "logs", "last_step"),
    [
        ({"stop_after_falling_steps": 3}, FALLING, 6),
        ({"stop_after_flat_steps": 6}, FLAT, 7),
    ],
)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    tmp_path: Path,
    rule: dict[str, int],
    logs: list[dict[str, Any]],
    last_step: int,
    resumed_after: int,
) -> None:
    config = config_of(10, 10, **rule)
    watched = Watched(config, TrainerState())
    for each in logs[:resumed_after]:
        watched.log(each)
    # What a rolling checkpoint holds.
    watched.state.save_to_json(str(tmp_path / "state.json"))
    state = TrainerState.load_from_json(str(tmp_path / "state.json"))

    resumed = Watched(config, state)
    for each in logs[resumed_after : last_step - 1]:
        resumed.log(each)
    with pytest.raises(NoLearningError, match=f"step {last_step}: stopped"):
        resumed.log(logs[last_step - 1])


def test_a_warning_is_not_said_again_by_a_resumed_run(sent: Sent) -> None:
    watched = Watched(config_of(10, 10), TrainerState())
    for each in FLAT[:5]:
        watched.log(each)
    assert str(sent()).count("had one reward for all completions") == 1
    Watched(config_of(10, 10), watched.state).log(FLAT[5])
    assert "had one reward for all completions" not in str(sent())


def test_a_log_from_before_accuracy_was_measured_ends_nothing() -> None:
    old = [
        {name: value for name, value in logs.items() if "accuracy" not in name} for logs in FALLING
    ]
    watched = Watched(config_of(10, 10, stop_after_falling_steps=3), TrainerState())
    for each in old:
        watched.log(each)


def test_accuracy_that_would_mean_nothing_is_left_out_and_the_reason_is_told(
    sent: Sent,
) -> None:
    config = config_of(10, 10, stop_after_falling_steps=3)
    watched = Watched(config, TrainerState(), "all 9 golds are '-'")
    for each in FALLING:
        watched.log(each)
    begun, *steps = sent()
    assert (
        "accuracy is not measured, nor can it end the run: all 9 golds are '-'" in begun["message"]
    )
    assert len(steps) == len(FALLING)
    assert all(step["accuracy"] is step["accuracy_spread"] is None for step in steps)

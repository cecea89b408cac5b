from typing import Any

import pytest

from relex.config import TrainingConfig
from relex.errors import NoLearningError
from relex.training import StepTrained
from relex.training.alarms import Alarms, FlatSteps, ShareAlarm, config_warnings


def trained(step: int, **changes: Any) -> StepTrained:
    quiet: dict[str, Any] = {
        "step": step,
        "num_steps": 9,
        "reward_mean": 0.5,
        "reward_spread": 0.5,
        "reward_means": {"exact_match": 0.5},
        "zero_spread_fraction": 0.1,
        "clipped_fraction": 0.1,
        "mean_completion_tokens": 4.0,
        "loss": 0.0,
        "grad_norm": 1.0,
        "learning_rate": 1e-6,
        "step_seconds": 1.0,
    }
    return StepTrained(**{**quiet, **changes})


def warnings_of(values: list[dict[str, Any]]) -> list[str]:
    alarms = Alarms()
    steps = (trained(step, **value) for step, value in enumerate(values, start=1))
    return [message for step in steps for message in alarms.check(step)]


def test_a_quiet_run_gives_no_warning() -> None:
    assert warnings_of([{}] * 9) == []


def test_useless_groups_are_warned_about_once_with_their_rise() -> None:
    fractions = [0.4, 0.7, 0.9, 0.9, 0.95, 0.95]
    messages = warnings_of([{"zero_spread_fraction": fraction} for fraction in fractions])
    assert len(messages) == 1
    assert messages[0].startswith(
        "step 4: 83 % of the groups had one reward for all completions in the last 3 steps, "
        "40 % in the first one; such groups teach nothing"
    )


def test_clipped_completions_are_warned_about() -> None:
    messages = warnings_of([{"clipped_fraction": 0.3}] * 4)
    assert len(messages) == 1
    assert "30 % of the completions were clipped" in messages[0]
    assert "raise max_completion_tokens" in messages[0]


def test_an_alarm_speaks_again_after_a_recovery() -> None:
    alarm = ShareAlarm(0.5, "it", "mend it")
    fractions = [0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9]
    spoken = [step for step, share in enumerate(fractions, start=1) if alarm.check(step, share)]
    assert spoken == [3, 8]


def test_one_bad_step_is_no_reason_to_speak() -> None:
    assert warnings_of([{"clipped_fraction": 1.0}]) == []


def test_a_mismatch_of_vllm_and_the_trainer_is_warned_about_once() -> None:
    ratios = [1.0, 0.95, 0.7, 0.7]
    messages = warnings_of([{"importance_ratio": ratio} for ratio in ratios])
    assert len(messages) == 1
    assert messages[0].startswith("step 3: vLLM and the trainer disagree")
    assert "0.70" in messages[0]


def test_completions_that_the_correction_leaves_out_are_warned_about() -> None:
    messages = warnings_of([{"importance_beyond_fraction": 0.3}] * 4)
    assert len(messages) == 1
    assert "30 % of the completions or tokens had importance ratios beyond the clips" in messages[0]


def test_a_small_rate_on_bfloat16_masters_is_warned_about() -> None:
    config = TrainingConfig(steps=9, learning_rate=1e-6, master_dtype="bfloat16")
    assert "updates are smaller than the spacing" in next(config_warnings(config, "cuda"))


def test_float32_masters_are_not_warned_about() -> None:
    assert not list(config_warnings(TrainingConfig(steps=9, learning_rate=1e-6), "cpu"))


def check_flat(fractions: list[float], stop_after_flat_steps: int, num_steps: int = 9) -> None:
    config = TrainingConfig(
        steps=9, learning_rate=1e-6, stop_after_flat_steps=stop_after_flat_steps
    )
    flat = FlatSteps(config)
    for step, fraction in enumerate(fractions, start=1):
        flat.check(trained(step, zero_spread_fraction=fraction, num_steps=num_steps))


def test_a_run_ends_with_its_last_allowed_flat_step() -> None:
    with pytest.raises(NoLearningError) as error:
        check_flat([0.9, 0.5, 0.9, 1.0, 0.95], stop_after_flat_steps=3)
    assert str(error.value) == (
        "step 5: stopped, because it learns nothing: in each of the last 3 steps more than 80 % of "
        "the groups had one reward for all completions (95 % in the last one); change the reward, "
        "or raise training.stop_after_flat_steps"
    )


def test_a_step_that_teaches_something_starts_the_count_again() -> None:
    check_flat([0.9, 0.9, 0.5, 0.9, 0.9], stop_after_flat_steps=3)


def test_a_run_never_ends_for_that_unless_it_is_asked_to() -> None:
    check_flat([1.0] * 9, stop_after_flat_steps=0)


def test_a_run_that_is_at_its_end_is_not_stopped() -> None:
    check_flat([1.0] * 3, stop_after_flat_steps=3, num_steps=3)

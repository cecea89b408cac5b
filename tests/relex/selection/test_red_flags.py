"""What stops a more accurate candidate, and what then happens."""

from dataclasses import replace

import numpy as np
import pytest

from relex.candidates import BASE, Candidate
from relex.config import SelectionConfig
from relex.selection import Measured, decide, decide_guarded
from relex.selection.facts import Habits

CONFIG = SelectionConfig(num_resamples=2000)
USUAL = Habits(
    truncated_fraction=0.02, repeating_fraction=0.01, correct_tokens=200, format_value=0.5
)
LAST = Candidate(step=30)
NEAR, FAR = (Candidate(step=step, method="line") for step in (60, 120))


def answered(candidate, accuracy, **habits):
    correct = np.zeros(800, dtype=bool)
    correct[: round(accuracy * 800)] = True
    np.random.default_rng(candidate.step).shuffle(correct)
    return Measured(candidate, correct.reshape(200, 4), USUAL.model_copy(update=habits))


def choice(*rivals, guards=None, config=CONFIG):
    measured = [answered(BASE, 0.4), answered(LAST, 0.5), *rivals]
    return decide(measured, config, seed=0, guards=guards)


def rules(decision, candidate):
    return [flag.rule for flag in decision.result(candidate).flags]


BROKEN = {
    "truncated": {"truncated_fraction": 0.2},
    "repeating": {"repeating_fraction": 0.2},
    "skips reasoning": {"correct_tokens": 20.0},
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_flagged_best_gives_its_place_to_the_best_without_a_flag(rule):
    decision = choice(answered(NEAR, 0.7), answered(FAR, 0.9, **BROKEN[rule]))
    assert rules(decision, FAR) == [rule]
    assert decision.chosen == NEAR
    assert "line-120 reaches 0.900" in decision.reason
    assert decision.result(FAR).flags[0].words in decision.reason


@pytest.mark.parametrize("rule", BROKEN)
def test_when_all_that_pass_are_flagged_the_last_observed_step_stays(rule):
    decision = choice(answered(NEAR, 0.51), answered(FAR, 0.9, **BROKEN[rule]))
    assert decision.chosen == LAST
    assert "the best of 3 candidates, line-120, reaches 0.900" in decision.reason
    assert f"raises a red flag: {decision.result(FAR).flags[0].words}." in decision.reason


def test_every_flag_is_told():
    decision = choice(answered(FAR, 0.9, truncated_fraction=0.5, repeating_fraction=0.4))
    assert "raises red flags: 50% of its answers are cut at the token limit, before 2%; " in (
        decision.reason
    )
    assert "40% of its answers end in a loop, before 1%" in decision.reason


@pytest.mark.parametrize(
    "habits",
    [
        {"truncated_fraction": 0.06},
        {"truncated_fraction": 0.0},
        {"repeating_fraction": 0.05},
        {"correct_tokens": 80.0},
        {"correct_tokens": None},
        {"correct_tokens": 900.0},
        {"format_value": 1.0},
    ],
)
def test_a_small_rise_a_fall_or_an_earned_format_is_no_flag(habits):
    decision = choice(answered(FAR, 0.9, **habits))
    assert (decision.chosen, rules(decision, FAR)) == (FAR, [])


def test_answers_that_never_held_reasoning_cannot_skip_it():
    """The toy answers in three tokens."""
    measured = [answered(LAST, 0.5, correct_tokens=3.0), answered(FAR, 0.9, correct_tokens=0.5)]
    assert decide(measured, CONFIG, seed=0).chosen == FAR


def test_a_gain_that_only_the_format_reward_sees_is_told():
    decision = choice(answered(FAR, 0.51, format_value=0.9))
    assert (decision.chosen, rules(decision, FAR)) == (LAST, ["format only"])
    assert decision.result(FAR).flags[0].words == (
        "the format reward rises from 0.50 to 0.90, and accuracy by no more than chance explains "
        "(+0.010)"
    )


def test_without_habits_there_are_no_flags():
    bare = Measured(FAR, answered(FAR, 0.9).correct_QK)
    assert choice(bare).chosen == FAR


def test_habits_on_some_of_the_questions_are_not_compared():
    whole = answered(FAR, 0.9, truncated_fraction=0.9)
    fewer = replace(whole, correct_QK=whole.correct_QK[:50])
    assert choice(answered(NEAR, 0.7), fewer).result(FAR).flags == ()


def test_a_threshold_of_the_recipe_is_the_one_that_counts():
    rival = answered(FAR, 0.9, truncated_fraction=0.2)
    assert choice(rival, config=CONFIG.model_copy(update={"truncated_rise": 0.3})).chosen == FAR


def guarded(**accuracies):
    steps = {"last": LAST, "near": NEAR, "far": FAR}
    return {"gsm8k": [answered(steps[name], value) for name, value in accuracies.items()]}


def test_a_large_loss_on_a_guard_benchmark_stops_the_promotion():
    guards = guarded(last=0.8, near=0.78, far=0.6)
    decision = choice(answered(NEAR, 0.7), answered(FAR, 0.9), guards=guards)
    assert decision.chosen == NEAR
    assert "accuracy on gsm8k falls from 0.800 to 0.600" in decision.reason
    (guard,) = decision.result(FAR).guards
    assert guard.to_last_observed.difference == pytest.approx(-0.2)


def test_before_a_candidate_answered_the_guard_it_can_be_chosen():
    decision = choice(answered(NEAR, 0.7), answered(FAR, 0.9), guards=guarded(last=0.8))
    assert (decision.chosen, decision.result(FAR).guards) == (FAR, ())


def test_the_guard_asks_only_what_would_be_chosen_until_one_holds():
    accuracies = {LAST: 0.8, NEAR: 0.78, FAR: 0.6}
    asked = []

    def measure(candidates):
        asked.append(candidates)
        return {"gsm8k": [answered(candidate, accuracies[candidate]) for candidate in candidates]}

    measured = [answered(LAST, 0.5), answered(NEAR, 0.7), answered(FAR, 0.9)]
    assert decide_guarded(measured, CONFIG, 0, measure).chosen == NEAR
    assert asked == [[LAST, FAR], [LAST, FAR, NEAR]]


def test_the_guard_asks_nothing_when_the_last_observed_step_stays():
    measured = [answered(LAST, 0.5), answered(NEAR, 0.5)]
    assert decide_guarded(measured, CONFIG, 0, measure=pytest.fail).chosen == LAST

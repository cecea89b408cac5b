from dataclasses import replace

import numpy as np
import pytest

from relex.candidates import BASE, Candidate, denoised
from relex.config import SelectionConfig
from relex.errors import InputError
from relex.selection import Decision, Habits, Measured, decide

CONFIG = SelectionConfig(num_resamples=2000)
SHAPE = (400, 4)


def observed(step):
    return Candidate(step=step)


def extrapolated(step):
    return Candidate(step=step, method="line")


def answered(candidate, accuracy, shape=SHAPE):
    """A candidate that answers exactly this share correctly, spread over the questions."""
    correct = np.zeros(shape[0] * shape[1], dtype=bool)
    correct[: round(accuracy * correct.size)] = True
    np.random.default_rng(candidate.step).shuffle(correct)
    return Measured(candidate, correct.reshape(shape))


def test_a_target_that_is_clearly_better_is_chosen():
    measured = [
        answered(BASE, 0.506),
        answered(observed(30), 0.591),
        answered(extrapolated(60), 0.677),
        answered(extrapolated(120), 0.738),
        answered(extrapolated(300), 0.129),
    ]
    decision = decide(measured, CONFIG, seed=0)
    assert decision.chosen == extrapolated(120)
    assert decision.reason == (
        "line-120, the best of 4 candidates, is chosen: its validation accuracy 0.738 "
        "[0.717, 0.759] is 0.147 [0.111, 0.183] above the 0.591 [0.566, 0.616] of observed-30, the "
        "last step trained, which is more than chance explains (p = 0.0005 for all 4 together; "
        "the limit is 0.05)."
    )


def test_the_last_observed_step_is_kept_when_every_target_is_worse():
    measured = [
        answered(observed(30), 0.847),
        answered(extrapolated(60), 0.481),
        answered(extrapolated(90), 0.1),
    ]
    decision = decide(measured, CONFIG, seed=0)
    assert decision.chosen == observed(30)
    assert decision.reason == (
        "observed-30, the last step trained, is kept with validation accuracy 0.847 [0.828, "
        "0.866]: the best of 2 candidates, line-60, reaches only 0.481 [0.458, 0.505]."
    )


def test_a_gain_that_can_be_chance_does_not_replace_the_last_observed_step():
    measured = [answered(observed(30), 0.6), answered(extrapolated(60), 0.61)]
    decision = decide(measured, CONFIG, seed=0)
    assert decision.chosen == observed(30)
    assert "the only other candidate, line-60, reaches 0.610" in decision.reason
    assert (
        "but a difference of +0.010 [-0.020, 0.040] is not more than chance explains (p = 0.2"
        in decision.reason
    )


def test_identical_answers_keep_the_last_observed_step():
    last = answered(observed(30), 0.6)
    decision = decide([last, Measured(extrapolated(60), last.correct_QK.copy())], CONFIG, seed=0)
    assert decision.chosen == observed(30)
    assert decision.reason.endswith(
        "the only other candidate, line-60, reaches the same and no more."
    )


def test_without_rivals_the_last_observed_step_is_kept():
    decision = decide([answered(observed(30), 0.6)], CONFIG, seed=0)
    assert decision.chosen == observed(30)
    assert decision.reason.endswith("0.600 [0.576, 0.625]: nothing else was measured.")


def test_an_earlier_observed_step_that_is_clearly_better_is_chosen():
    decision = decide([answered(observed(10), 0.9), answered(observed(30), 0.5)], CONFIG, seed=0)
    assert (decision.last_observed, decision.chosen) == (observed(30), observed(10))
    assert decision.reason.startswith("observed-10, the only other candidate, is chosen")


def test_an_earlier_observed_step_whose_gain_can_be_chance_is_not_chosen():
    decision = decide([answered(observed(10), 0.61), answered(observed(30), 0.6)], CONFIG, seed=0)
    assert decision.chosen == observed(30)


RIVALS = [
    observed(10),
    denoised(30),
    extrapolated(60),
    *(Candidate(step=60, method=method) for method in ("shrunk-factor0.5", "secant", "my:own")),
]


@pytest.mark.parametrize("better", RIVALS, ids=lambda candidate: candidate.key)
def test_a_candidate_of_any_kind_can_be_chosen(better):
    measured = [answered(BASE, 0.5), answered(observed(30), 0.6)]
    measured += [answered(rival, 0.9 if rival == better else 0.55) for rival in RIVALS]
    decision = decide(measured, CONFIG, seed=0)
    assert (decision.chosen, decision.num_rivals) == (better, len(RIVALS) + 1)


def test_where_training_made_the_model_worse_the_base_is_chosen_and_harm_is_said_first():
    measured = [answered(BASE, 0.529), answered(observed(4), 0.43), answered(observed(8), 0.307)]
    decision = decide(measured, CONFIG, seed=0)
    assert (decision.chosen, decision.bar, decision.is_harmful) == (BASE, BASE, True)
    assert decision.reason == (
        "Training made the model worse: the validation accuracy 0.307 [0.284, 0.329] of "
        "observed-8, the last step trained, is 0.222 [0.191, 0.253] below the 0.529 [0.505, 0.552] "
        "of base, the model before training, which is more than chance explains (p = 0.0005 for "
        "all 2 together; the limit is 0.05). Look at the reward. base, the model before training, "
        "is kept with validation accuracy 0.529 [0.505, 0.552]: the best of 2 candidates, "
        "observed-4, reaches only 0.430 [0.407, 0.453]."
    )


def test_what_is_better_than_a_harmful_last_step_must_be_better_than_the_base_too():
    measured = [answered(BASE, 0.5), answered(observed(30), 0.3)]
    chosen = {
        accuracy: decide([*measured, answered(observed(10), accuracy)], CONFIG, seed=0)
        for accuracy in (0.45, 0.51, 0.6)
    }
    assert [d.chosen for d in chosen.values()] == [BASE, BASE, observed(10)]
    assert {d.bar for d in chosen.values()} == {BASE}
    assert not chosen[0.6].is_harmful
    reason = chosen[0.6].reason
    assert reason.startswith("Training made the model worse: the validation accuracy 0.300 ")
    assert "of base, the model before training, which is more than chance explains" in reason


def test_a_base_that_is_better_by_chance_alone_changes_nothing():
    decision = decide([answered(BASE, 0.61), answered(observed(30), 0.6)], CONFIG, seed=0)
    assert (decision.chosen, decision.bar) == (observed(30), observed(30))
    assert "the only other candidate, base, reaches 0.610" in decision.reason


def test_harm_is_found_whatever_gain_and_flags_the_settings_ask_for():
    usual = Habits(
        truncated_fraction=0, repeating_fraction=0, correct_tokens=None, format_value=None
    )
    cut = usual.model_copy(update={"truncated_fraction": 0.9})
    base = replace(answered(BASE, 0.5), habits=cut)
    last = replace(answered(observed(30), 0.4), habits=usual)
    config = SelectionConfig(num_resamples=2000, require_gain=0.5)
    assert decide([base, last], config, seed=0).is_harmful


def test_a_base_that_a_search_dropped_is_a_try_and_no_harm():
    base = first(answered(BASE, 0.9), 100)
    decision = decide([base, answered(observed(30), 0.5)], CONFIG, seed=0)
    assert (decision.chosen, decision.bar) == (observed(30), observed(30))


def test_a_gain_below_the_required_one_is_no_reason_to_change():
    measured = [answered(observed(30), 0.6), answered(extrapolated(60), 0.7)]
    chosen = {
        gain: decide(
            measured, SelectionConfig(num_resamples=2000, require_gain=gain), 0
        ).chosen.step
        for gain in (0.0, 0.05, 0.09, 0.15)
    }
    assert chosen == {0.0: 60, 0.05: 60, 0.09: 30, 0.15: 30}


def test_the_required_gain_stands_in_the_reason():
    measured = [answered(observed(30), 0.6), answered(extrapolated(60), 0.7)]
    decision = decide(measured, SelectionConfig(num_resamples=2000, require_gain=0.09), seed=0)
    assert "is not more than the required 0.09 and chance explains" in decision.reason


def first(measured, num_questions):
    return Measured(measured.candidate, measured.correct_QK[:num_questions])


def test_a_candidate_that_answered_only_some_questions_counts_but_is_not_tested():
    last, good = answered(observed(30), 0.6), answered(extrapolated(60), 0.63)
    dropped = first(answered(extrapolated(90), 0.9), 100)
    alone = decide([last, good], CONFIG, seed=0)
    decision = decide([last, good, dropped], CONFIG, seed=0)
    assert decision.num_rivals == 2
    test = decision.result(extrapolated(90)).to_last_observed
    assert test.num_questions == decision.result(extrapolated(90)).num_questions == 100
    assert test.difference == pytest.approx(
        dropped.correct_QK.mean() - last.correct_QK[:100].mean()
    )
    assert [r.candidate for r in decision.results if r.is_tested] == [good.candidate]
    p_value_alone, p_value = (
        d.result(good.candidate).to_last_observed.p_value for d in (alone, decision)
    )
    assert p_value_alone < p_value < 2 * p_value_alone


def test_when_no_rival_answered_all_questions_the_last_observed_step_is_kept():
    dropped = first(answered(extrapolated(90), 0.9), 100)
    decision = decide([answered(observed(30), 0.5), dropped], CONFIG, seed=0)
    assert decision.chosen == observed(30)
    assert decision.reason.endswith("no other candidate answered all questions.")


def test_with_single_samples_the_p_value_is_exact_at_any_confidence():
    last = Measured(observed(30), np.arange(100)[:, None] < 50)
    better = Measured(extrapolated(60), np.arange(100)[:, None] < 80)
    decision = decide([last, better], SelectionConfig(num_resamples=1000, confidence=0.999999), 0)
    assert decision.chosen == extrapolated(60)
    assert decision.result(extrapolated(60)).to_last_observed.p_value == pytest.approx(0.5**30)


def test_of_equally_good_targets_the_nearer_one_is_best():
    near = answered(extrapolated(60), 0.8)
    measured = [Measured(extrapolated(90), near.correct_QK), near, answered(observed(30), 0.5)]
    assert decide(measured, CONFIG, seed=0).chosen == extrapolated(60)


def test_a_p_value_that_passes_alone_does_not_pass_among_many_targets():
    last, lucky = answered(observed(30), 0.6), answered(extrapolated(60), 0.637)
    others = [answered(extrapolated(step), 0.6) for step in range(70, 150, 10)]
    alone = decide([last, lucky], CONFIG, seed=0)
    among_many = decide([last, lucky, *others], CONFIG, seed=0)
    assert (alone.chosen, among_many.chosen) == (extrapolated(60), observed(30))
    p_alone, p_among_many = (
        d.result(extrapolated(60)).to_last_observed.p_value for d in (alone, among_many)
    )
    assert p_alone < 0.05 < p_among_many < 9 * p_alone


def test_a_candidate_that_is_there_ten_times_costs_no_more_than_once():
    """Neighbours that answer alike are one try."""
    last, good = answered(observed(30), 0.6), answered(extrapolated(60), 0.637)
    alike = [Measured(extrapolated(step), good.correct_QK) for step in range(61, 70)]
    alone, among = (decide([last, good, *more], CONFIG, seed=0) for more in ([], alike))
    assert among.result(good.candidate).to_last_observed == (
        alone.result(good.candidate).to_last_observed
    )


NUM_STUDIES = 800


@pytest.mark.slow
@pytest.mark.parametrize(("num_samples", "gain"), [(1, 0.0), (4, 0.0), (4, 0.05), (1, 0.05)])
def test_a_rival_that_does_not_gain_enough_is_chosen_in_at_most_5_percent_of_studies(
    num_samples, gain
):
    """All rivals gain exactly what is required, the most that the hypothesis allows."""
    rng = np.random.default_rng(0)
    config = SelectionConfig(num_resamples=1000, require_gain=gain)
    rivals = [observed(10), *map(extrapolated, (40, 60, 80))]

    def is_wrong(seed):
        share_Q1 = rng.uniform(0, 1 - gain, size=(100, 1))
        shape = (100, num_samples)
        measured = [Measured(rival, rng.random(shape) < share_Q1 + gain) for rival in rivals]
        last = Measured(observed(30), rng.random(shape) < share_Q1)
        return decide([last, *measured], config, seed).chosen != observed(30)

    wrong = np.mean([is_wrong(seed) for seed in range(NUM_STUDIES)])
    assert wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / NUM_STUDIES)
    assert wrong >= 0.01


@pytest.mark.slow
def test_a_search_that_drops_poor_rivals_early_does_not_raise_the_level():
    rng = np.random.default_rng(0)
    config = SelectionConfig(num_resamples=1000)

    def is_wrong(seed):
        share_Q1 = rng.random((100, 1))
        last, *rivals = (
            Measured(candidate, rng.random((100, 4)) < share_Q1)
            for candidate in (observed(30), *map(extrapolated, (40, 60, 80, 100)))
        )
        reached = last.correct_QK[:30].mean()
        kept = [m if m.correct_QK[:30].mean() >= reached else first(m, 30) for m in rivals]
        return decide([last, *kept], config, seed).chosen != observed(30)

    wrong = np.mean([is_wrong(seed) for seed in range(NUM_STUDIES)])
    assert wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / NUM_STUDIES)


def test_results_are_in_one_order_whatever_the_order_of_measuring():
    candidates = [BASE, observed(10), observed(30), extrapolated(60), extrapolated(90)]
    measured = [answered(candidate, 0.5) for candidate in candidates]
    forward, backward = (decide(order, CONFIG, seed=0) for order in (measured, measured[::-1]))
    assert [result.candidate for result in forward.results] == candidates
    assert forward == backward


def test_a_decision_survives_json():
    decision = decide([answered(observed(30), 0.6), answered(extrapolated(60), 0.7)], CONFIG, 0)
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_finalists_are_the_chosen_the_last_observed_and_the_base():
    decision = decide([answered(observed(30), 0.5), answered(extrapolated(60), 0.9)], CONFIG, 0)
    assert decision.finalists == {
        "base": BASE,
        "last_step": observed(30),
        "chosen": extrapolated(60),
    }


def refusal(measured, config=CONFIG):
    with pytest.raises(InputError) as caught:
        decide(measured, config, seed=0)
    return str(caught.value)


def test_a_missing_reference_is_said():
    assert refusal([answered(BASE, 0.5), answered(extrapolated(60), 0.7)]) == (
        "selection: found base, line-60, but no observed step, which is what a candidate has to "
        "beat; measure the last step of the window too"
    )


def test_nothing_measured_is_said():
    assert refusal([]).startswith("selection: found no candidate at all, but no observed step")


def test_a_candidate_listed_twice_is_named():
    assert refusal([answered(observed(30), 0.5), answered(observed(30), 0.6)]) == (
        "selection: observed-30 is listed twice; give every candidate once"
    )


def test_answers_to_other_questions_are_named():
    measured = [answered(observed(30), 0.5), answered(extrapolated(60), 0.5, shape=(400, 3))]
    assert refusal(measured) == (
        "selection: line-60: answered 400 questions x 3 samples, but observed-30 answered "
        "400 questions x 4 samples; measure observed-30 on all questions, and all with the same "
        "samples"
    )


def test_a_last_observed_step_that_did_not_answer_all_questions_is_refused():
    measured = [answered(observed(30), 0.5, shape=(399, 4)), answered(extrapolated(60), 0.5)]
    assert "measure observed-30 on all questions" in refusal(measured)


def test_groups_that_do_not_match_the_questions_are_named():
    grouped = replace(answered(observed(30), 0.5), group_Q=("easy",) * 3)
    assert refusal([grouped]) == (
        "selection: observed-30: found 3 groups for 400 questions; give one per question, or none"
    )


@pytest.mark.parametrize(
    ("correct_QK", "found"),
    [
        (np.ones((4, 2)), "float64 of shape (4, 2)"),
        (np.ones(4, dtype=bool), "bool of shape (4,)"),
        (np.ones((0, 2), dtype=bool), "bool of shape (0, 2)"),
    ],
)
def test_what_is_no_bool_matrix_is_refused(correct_QK, found):
    assert refusal([Measured(observed(30), correct_QK)]) == (
        f"selection: observed-30: expected a bool matrix of questions x samples, found {found}"
    )


def test_too_few_resamples_for_the_confidence_are_refused():
    measured = [answered(observed(30), 0.5), answered(extrapolated(60), 0.9)]
    config = SelectionConfig(num_resamples=1000, confidence=0.9995)
    assert refusal(measured, config) == (
        "selection.num_resamples: 1000 resamples cannot give the p-value of 0.0005 that "
        "confidence 0.9995 asks for; use at least 2000"
    )
    enough = config.model_copy(update={"num_resamples": 2000})
    assert decide(measured, enough, seed=0).chosen == extrapolated(60)

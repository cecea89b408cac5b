import numpy as np
import pytest

from relex.candidates.candidate import BASE, Candidate
from relex.config import SelectionConfig
from relex.errors import InputError
from relex.selection import Decision, Measured, decide, finalists

CONFIG = SelectionConfig(num_resamples=2000)
SHAPE = (400, 4)


def observed(step):
    return Candidate(kind="observed", step=step)


def extrapolated(step):
    return Candidate(kind="extrapolated", step=step)


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
    assert decision.chosen == decision.best_extrapolated == extrapolated(120)
    assert decision.reason == (
        "k = 120, the best of 3 targets, is chosen: its validation accuracy 0.738 [0.717, 0.759] "
        "is 0.147 [0.116, 0.178] above the 0.591 [0.566, 0.616] of step 30, the last step trained, "
        "which is more than chance explains (p = 0.0015, corrected for 3 targets; "
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
        "Step 30, the last step trained, is kept with validation accuracy 0.847 [0.828, 0.866]: "
        "the best of 2 targets, k = 60, reaches only 0.481 [0.458, 0.505]."
    )


def test_a_gain_that_can_be_chance_does_not_replace_the_last_observed_step():
    measured = [answered(observed(30), 0.6), answered(extrapolated(60), 0.61)]
    decision = decide(measured, CONFIG, seed=0)
    assert decision.chosen == observed(30)
    assert "the only target, k = 60, reaches 0.610" in decision.reason
    assert "but a difference of +0.010 [-0.024, 0.043] can be chance (p = 0.2" in decision.reason


def test_identical_answers_keep_the_last_observed_step():
    last = answered(observed(30), 0.6)
    decision = decide([last, Measured(extrapolated(60), last.correct_QK.copy())], CONFIG, seed=0)
    assert decision.chosen == observed(30)
    assert decision.reason.endswith("the only target, k = 60, reaches the same and no more.")


def test_without_targets_the_last_observed_step_is_kept():
    decision = decide([answered(BASE, 0.5), answered(observed(30), 0.6)], CONFIG, seed=0)
    assert (decision.chosen, decision.best_extrapolated) == (observed(30), None)
    assert decision.reason.endswith("0.600 [0.576, 0.625]: no target was measured.")


def test_the_reference_is_the_last_observed_step_even_if_an_earlier_one_was_better():
    measured = [answered(observed(10), 0.9), answered(observed(30), 0.5)]
    assert decide(measured, CONFIG, seed=0).last_observed == observed(30)


def test_of_equally_good_targets_the_nearer_one_is_best():
    near = answered(extrapolated(60), 0.8)
    measured = [Measured(extrapolated(90), near.correct_QK), near, answered(observed(30), 0.5)]
    assert decide(measured, CONFIG, seed=0).best_extrapolated == extrapolated(60)


def test_a_p_value_that_passes_alone_does_not_pass_among_many_targets():
    last, lucky = answered(observed(30), 0.6), answered(extrapolated(60), 0.637)
    others = [answered(extrapolated(step), 0.6) for step in range(70, 150, 10)]
    alone = decide([last, lucky], CONFIG, seed=0)
    among_many = decide([last, lucky, *others], CONFIG, seed=0)
    assert (alone.chosen, among_many.chosen) == (extrapolated(60), observed(30))
    assert among_many.corrected_p_value == pytest.approx(9 * alone.corrected_p_value)


def test_targets_that_are_no_better_are_chosen_in_at_most_5_percent_of_studies():
    rng = np.random.default_rng(0)
    config = SelectionConfig(num_resamples=1000)

    def study(seed):
        share_Q1 = rng.random((60, 1))
        candidates = [observed(30), *map(extrapolated, (40, 60, 80, 100))]
        answers = [Measured(c, rng.random((60, 2)) < share_Q1) for c in candidates]
        return decide(answers, config, seed).chosen.kind == "extrapolated"

    assert np.mean([study(seed) for seed in range(400)]) <= 0.07


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
    assert finalists(decision) == (extrapolated(60), observed(30), BASE)


def test_a_finalist_is_measured_once_when_the_last_observed_step_is_kept():
    decision = decide([answered(observed(30), 0.9), answered(extrapolated(60), 0.5)], CONFIG, 0)
    assert finalists(decision) == (observed(30), BASE)


def refusal(measured, config=CONFIG):
    with pytest.raises(InputError) as caught:
        decide(measured, config, seed=0)
    return str(caught.value)


def test_a_missing_reference_is_said():
    assert refusal([answered(BASE, 0.5), answered(extrapolated(60), 0.7)]) == (
        "selection: found base, k = 60, but no observed step, which is what a target has to beat; "
        "measure the last step of the window too"
    )


def test_nothing_measured_is_said():
    assert refusal([]).startswith("selection: found no candidate at all, but no observed step")


def test_a_candidate_listed_twice_is_named():
    assert refusal([answered(observed(30), 0.5), answered(observed(30), 0.6)]) == (
        "selection: step 30 is listed twice; give every candidate once"
    )


def test_answers_to_other_questions_are_named():
    measured = [answered(observed(30), 0.5), answered(extrapolated(60), 0.5, shape=(399, 4))]
    assert refusal(measured) == (
        "selection: k = 60: answered 399 questions x 4 samples, but step 30 answered "
        "400 questions x 4 samples; measure both on the same questions"
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
        f"selection: step 30: expected a bool matrix of questions x samples, found {found}"
    )


def test_too_few_resamples_for_the_confidence_are_refused():
    measured = [answered(observed(30), 0.5), answered(extrapolated(60), 0.9)]
    measured.append(answered(extrapolated(90), 0.9))
    config = SelectionConfig(num_resamples=1000, confidence=0.9985)
    assert refusal(measured, config) == (
        "selection.num_resamples: 1000 resamples cannot give the p-value of 0.00075 that "
        "confidence 0.9985 asks of the best of 2 targets; use at least 1333"
    )

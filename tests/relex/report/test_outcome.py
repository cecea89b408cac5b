"""What the test questions say of the choice, and what it leaves open."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from relex.candidates import BASE, Candidate
from relex.config import SelectionConfig
from relex.report import ALARM, benchmark_results, outcome_lines
from relex.report.accuracy_plot import picture_title
from relex.report.outcome import reconciled
from relex.report.page import report_html
from relex.selection import Measured

LAST, FAR = Candidate(step=30), Candidate(step=120, method="line")
SHAPE = (100, 4)


def with_test(summary, accuracy):
    """The same run with other answers to the test questions: step 30 at .5, the chosen one here."""
    graded = {
        candidate: np.random.default_rng(candidate.step).permutation(400).reshape(SHAPE) < 400 * x
        for candidate, x in {summary.decision.chosen: accuracy, LAST: 0.5}.items()
    }
    results = benchmark_results("held_out", graded, LAST, SelectionConfig(num_resamples=1000), 0)
    return summary.model_copy(update={"benchmarks": tuple(results)})


def test_a_gain_that_the_test_questions_confirm_is_told_with_its_interval(summary):
    line = outcome_lines(with_test(summary, 0.7))[0]
    assert line.startswith("On the test questions of held_out line-120 reaches 0.700 [")
    assert ", +0.200 [0.1" in line
    assert "against observed-30 (p = 0.001)" in line
    assert line.endswith("they confirm that it is better.")


def test_a_gain_that_the_test_questions_do_not_confirm_is_said_and_not_claimed(summary):
    doubtful = with_test(summary, 0.51)
    line = outcome_lines(doubtful)[0]
    assert "+0.010 [-0.0" in line
    assert line.endswith("the interval includes zero, so they do not confirm that it is better.")
    assert picture_title(doubtful).splitlines()[0].endswith("+0.010 on test (may be chance)")


def test_a_loss_on_the_test_questions_is_said(summary):
    line = outcome_lines(with_test(summary, 0.3))[0]
    assert line.endswith("there it is worse, so validation misled the choice.")


def test_the_picture_claims_what_the_test_questions_confirm(summary):
    assert picture_title(with_test(summary, 0.7)) == (
        "Step 30 extrapolated to line-120: +0.150 on validation, +0.200 on test\n"
        "on validation: base 0.510, last step 0.590, chosen 0.740"
    )


def test_a_model_that_training_made_worse_is_not_celebrated(summarise, measured_for):
    measured = [m for m in measured_for({60: 0.3}) if not m.candidate.is_base]
    base = Measured(BASE, np.random.default_rng(1).permutation(400).reshape(SHAPE) < 320)
    summary = summarise([base, *measured])
    assert summary.decision.verdict == "harmful"
    assert picture_title(summary) == (
        "Training made the model worse: observed-30 is below the base\n"
        "on validation: base 0.800, last step 0.590, chosen 0.800"
    )
    text = report_html("toy", f"**{ALARM}{summary.decision.reason}**", {})
    assert '<p class="alarm"><strong>⚑ Training made the model worse' in text
    (line,) = outcome_lines(summary)
    assert line.startswith("On the test questions of held_out base reaches 0.800 [")
    assert line.endswith("they confirm that it is better.")


def test_a_kept_step_that_is_worse_than_the_base_on_the_test_questions_is_said(build_summary):
    kept = build_summary({60: 0.4})
    graded = {
        candidate: np.random.default_rng(0).permutation(400).reshape(SHAPE) < 400 * x
        for candidate, x in {LAST: 0.5, BASE: 0.7}.items()
    }
    results = benchmark_results("held_out", graded, LAST, SelectionConfig(num_resamples=1000), 0)
    (line,) = outcome_lines(kept.model_copy(update={"benchmarks": tuple(results)}))
    assert line.startswith(
        "On the test questions of held_out base, the model before training, reaches "
    )
    assert line.endswith("against observed-30: there training made the model worse.")


def test_a_kept_step_needs_no_further_words(build_summary):
    assert outcome_lines(build_summary({60: 0.4, 120: 0.1})) == []


def test_a_required_gain_plays_no_part_on_the_test_questions(summary):
    last_QK = np.zeros(SHAPE, dtype=bool)
    graded = {FAR: np.ones(SHAPE, dtype=bool), LAST: last_QK}
    demanding = SelectionConfig(num_resamples=1000, require_gain=0.9)
    results = {r.candidate: r for r in benchmark_results("held_out", graded, LAST, demanding, 0)}
    assert results[LAST].to_last_observed is None
    assert results[FAR].to_last_observed.p_value == 1 / 1001


def farther(summary):
    return [line for line in outcome_lines(summary) if "farther" in line]


def test_a_winner_at_the_end_of_a_rising_list_says_that_targets_may_go_further(build_summary):
    assert farther(build_summary({60: 0.68, 120: 0.74})) == [
        "line-120 is the farthest target that was tried, and accuracy still rises there: farther "
        "targets were not tried, which the recipe may allow."
    ]


@pytest.mark.parametrize("targets", [{60: 0.68, 120: 0.74, 300: 0.13}, {60: 0.74, 120: 0.68}])
def test_a_winner_before_the_end_does_not(build_summary, targets):
    assert farther(build_summary(targets)) == []


def test_the_farthest_target_is_that_of_what_was_moved(measured_for, summarise):
    part = {"method": "secant", "part": "2-3.mlp"}
    measured = [
        replace(
            m, candidate=m.candidate.model_copy(update=part if 30 < m.candidate.step < 300 else {})
        )
        for m in measured_for({60: 0.68, 120: 0.74, 300: 0.13})
    ]
    (line,) = farther(summarise(measured))
    assert line.startswith("secant-120@2-3.mlp is the farthest target that was tried")


def diagnosed(skill):
    return SimpleNamespace(
        overall=SimpleNamespace(forecast_skill=SimpleNamespace(over_staying=skill))
    )


def test_a_chosen_target_is_reconciled_with_a_forecast_that_fails(summary):
    words = reconciled(summary, diagnosed(-0.3))
    assert words.startswith("line-120 is chosen all the same")
    assert "+0.150 [" in words


@pytest.mark.parametrize("skill", [0.4, None])
def test_without_a_failing_forecast_there_is_nothing_to_reconcile(summary, skill):
    assert reconciled(summary, diagnosed(skill)) == ""


def test_a_kept_step_does_not_contradict_a_failing_forecast(build_summary):
    assert reconciled(build_summary({60: 0.4}), diagnosed(-0.3)) == ""


def test_a_round_that_ends_lower_than_it_began_is_said(build_summary):
    first, worse = build_summary({60: 0.7}), build_summary({60: 0.4})
    (before,) = first.rounds
    assert outcome_lines(worse) == []
    falls = worse.model_copy(update={"earlier": (before,)})
    assert outcome_lines(falls) == []
    began = worse.benchmark_result("held_out", BASE).model_copy(update={"accuracy": 0.7})
    results = [began if r.candidate == BASE else r for r in worse.benchmarks]
    falls = falls.model_copy(update={"benchmarks": tuple(results)})
    assert outcome_lines(falls) == [
        "Round 2 ends lower on the test questions, at 0.590, than it began, at 0.700: the model of "
        "the round before, toy-12345678, may be the better one, and is kept."
    ]


def with_training(summary, accuracies):
    """The same run, whose last steps had these accuracies in training."""
    last = zip(summary.training[-len(accuracies) :], accuracies, strict=True)
    told = [
        step.model_copy(update={"metrics": step.metrics | {"accuracy": accuracy}})
        for step, accuracy in last
    ]
    return summary.model_copy(update={"training": (*summary.training[: -len(told)], *told)})


def test_answers_that_were_far_better_in_training_are_told(summary):
    lines = outcome_lines(with_training(summary, (0.92, 0.80, 0.75, 0.78)))
    (line,) = [line for line in lines if line.startswith(ALARM)]
    told = "In training, at steps 28 to 30, 0.750 or more of the answers were right, of observed-30"
    assert line.startswith(f"{ALARM}{told}'s on validation 0.590 [")
    assert line.endswith("lost to rounding what training moved: a base in float32 keeps it.")


@pytest.mark.parametrize("accuracies", [(0.9, 0.9, 0.65), (0.9, 0.9), (0.4, 0.5, 0.6)])
def test_answers_that_were_about_as_good_in_training_are_not(summary, accuracies):
    assert outcome_lines(with_training(summary, accuracies)) == outcome_lines(summary)

"""Sharpness is told from learning, what a run cost, and answers side by side."""

import numpy as np
import pytest

from relex.candidates import BASE, Candidate
from relex.config import GREEDY, SelectionConfig, check_run_recipe
from relex.report import (
    ALARM,
    Cost,
    Costs,
    benchmark_results,
    candidate_rows,
    cost_words,
    outcome_lines,
    shown_answer,
    shown_questions,
    training_cost,
)
from relex.report.costs import show_seconds
from relex.report.markdown import answers_markdown
from relex.search import SearchPath
from relex.selection import Measured
from tests.flows.small import small_recipe

LAST, FAR = Candidate(step=30), Candidate(step=120, method="line")


def with_greedy(summary, accuracies):
    """The same run, whose base, last step and chosen answer so at temperature 0."""
    graded = {
        candidate: np.arange(100)[:, None] < 100 * accuracy
        for candidate, accuracy in zip((BASE, LAST, FAR), accuracies, strict=True)
    }
    results = benchmark_results(GREEDY, graded, LAST, SelectionConfig(num_resamples=1000), 0)
    return summary.model_copy(update={"greedy": tuple(results)})


@pytest.mark.parametrize(
    ("accuracies", "told"),
    [
        ((1.0, 1.0, 1.0), "base already reaches 1.000 on validation when it answers greedily: what "
         "training and the choice add in sampled answers (0.510 to 0.740) is sharpness"),
        ((0.1, 0.98, 0.99), "observed-30 already reaches 0.980 on validation when it answers "
         "greedily: what the choice adds in sampled answers (0.590 to 0.740) is sharpness"),
        ((0.1, 0.6, 0.9), ""),
    ],
)  # fmt: skip
def test_a_gain_that_greedy_answers_have_already_is_called_sharpness(summary, accuracies, told):
    alarms = [
        line.removeprefix(ALARM)
        for line in outcome_lines(with_greedy(summary, accuracies))
        if line.startswith(ALARM)
    ]
    assert [line.partition(", which")[0] for line in alarms] == ([told] if told else [])
    assert all(line.endswith(f"line-120 reaches {accuracies[2]:.3f} so.") for line in alarms)


def test_greedy_answers_that_are_no_better_than_sampled_ones_explain_nothing(summarise):
    measured = [
        Measured(candidate, np.arange(400).reshape(100, 4) < num_right)
        for candidate, num_right in {BASE: 1, LAST: 2}.items()
    ]
    few = summarise(measured)
    assert few.decision.result(LAST).interval.low == 0
    lines = outcome_lines(with_greedy(few, (0.0, 0.0, 0.0)))
    assert not [line for line in lines if line.startswith(ALARM)]


def test_a_finalist_has_a_row_of_its_greedy_answers_below_it(summary):
    rows = candidate_rows(with_greedy(summary, (0.5, 0.6, 0.9)))
    labels = [row["candidate"] for row in rows]
    assert labels == [
        *("base", "↳ greedy", "observed-10", "observed-30", "↳ greedy", "line-60"),
        *("line-120", "↳ greedy", "line-300"),
    ]
    assert rows[7]["validation"].startswith("0.900 [")
    assert rows[7]["against observed-30"].startswith("+0.300 [")
    assert rows[4]["against observed-30"] == "-"
    assert {tuple(row) for row in rows} == {tuple(rows[0])}


def test_greedy_answers_differ_from_sampled_ones_in_nothing_else():
    recipe = check_run_recipe(small_recipe("greedy"), "test")
    sampled, greedy = recipe.exam("validation"), recipe.exam(GREEDY)
    assert (greedy.sampling.temperature, greedy.samples_per_question) == (0.0, 1)
    changed = {"sampling", "samples_per_question"}
    assert greedy.model_dump(exclude=changed) == sampled.model_dump(exclude=changed)


def test_a_cost_is_said_in_tokens_time_and_steps(summary):
    curve = [{"mean_completion_tokens": 4.0, "step_seconds": 2.0}] * 30
    training = training_cost(curve, completions_per_step=1000)
    assert training == Cost(tokens=120_000, seconds=60.0)
    costs = Costs(
        device="cpu",
        training=training,
        rollout_seconds=40.0,
        num_steps=30,
        choice=Cost(tokens=44_000, seconds=300.0),
        report=Cost(tokens=1000, seconds=1.0),
    )
    path = SearchPath(
        trials=(), stopped="", num_questions=20, num_grid_targets=13, num_grid_tokens=90_000
    )
    told = cost_words(summary.model_copy(update={"costs": costs, "search": path}))
    assert told == (
        "30 trained steps took 120,000 tokens in 60 s on the CPU (rollouts 40 s), the choice "
        "44,000 tokens in 5 min: together the tokens of 41 steps of training. The search saved "
        "90,000 tokens of the 90,000 that every target would have taken. How many steps of "
        "training reach the same accuracy, a run cannot know."
    )
    elsewhere = costs.model_copy(update={"training": None, "num_steps": 0, "device": "cuda"})
    assert elsewhere.as_steps is None
    assert cost_words(summary.model_copy(update={"costs": elsewhere})) == (
        "The choice took 44,000 tokens in 5 min on the GPU."
    )
    assert (show_seconds(40), show_seconds(3 * 3600)) == ("40 s", "3.0 h")


def test_without_a_curve_training_cost_nothing():
    assert training_cost([], completions_per_step=8) is None


def shown(summary, outcomes):
    """Questions whose (base, last, chosen) answers are right or wrong so."""
    problems = [(str(n), f"question {n}", "gold") for n in range(len(outcomes))]
    answers = {
        candidate: {
            str(n): shown_answer(f"{candidate.key} {n}", outcome[place])
            for n, outcome in enumerate(outcomes)
        }
        for place, candidate in enumerate((BASE, LAST, FAR))
    }
    return shown_questions(summary.decision, problems, answers)


def test_repaired_and_broken_answers_are_shown_first(summary):
    outcomes = [(1, 1, 1), (0, 0, 0), (0, 0, 1), (0, 0, 1), (1, 1, 0), (0, 0, 1), (1, 0, 1)]
    found = shown(summary, outcomes)
    assert [(each.question, each.change) for each in found] == [
        ("question 2", "repaired"),
        ("question 4", "broken"),
        ("question 3", "repaired"),
        ("question 5", "repaired"),
        ("question 6", "repaired"),
    ]
    text = answers_markdown(summary.model_copy(update={"shown": found}))
    assert "question 4" in text and "line-120 4" in text


def test_a_long_answer_is_cut(summary):
    answer = shown_answer("x" * 5000, correct=True)
    assert len(answer.text) < 1000 and answer.text.endswith(" ...")

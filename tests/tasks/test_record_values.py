"""The facts of a candidate, as MLflow has them."""

import numpy as np

from relex.candidates import BASE, Candidate
from relex.config import SelectionConfig
from relex.selection import Measured, decide
from relex.selection.facts import Habits
from tasks.record_values import metrics_of

LAST, TARGET = Candidate(step=30), Candidate(step=60, method="line")
HABITS = Habits(
    truncated_fraction=0.1, repeating_fraction=0.2, correct_tokens=30.0, format_value=None
)


def test_a_target_has_all_facts_and_what_is_not_known_has_none():
    rng = np.random.default_rng(0)
    correct = {BASE: 0.3, LAST: 0.5, TARGET: 0.9}
    measured = [
        Measured(candidate, rng.random((50, 4)) < share, HABITS, ("hard",) * 50)
        for candidate, share in correct.items()
    ]
    guards = {"gsm8k": measured[1:]}
    decision = decide(measured, SelectionConfig(num_resamples=1000), 0, guards)
    metrics = metrics_of(decision.result(TARGET))
    result = decision.result(TARGET)
    assert metrics["pass_at_1"] == metrics["accuracy_hard"] == metrics["guard_accuracy_gsm8k"]
    assert metrics["pass_at_4"] == result.pass_at[-1].value
    assert metrics["repairs"] == result.to_last_observed.repairs
    assert metrics["p_value"] == result.to_last_observed.p_value
    assert metrics["gain_low"] == result.to_last_observed.interval.low
    assert "p_value" not in metrics_of(decision.result(LAST))
    assert metrics["regressions_of_base"] == result.to_base.regressions
    assert (metrics["repeating_fraction"], metrics["correct_tokens"]) == (0.2, 30)
    assert "format_value" not in metrics
    assert "repairs" not in metrics_of(decision.result(LAST))

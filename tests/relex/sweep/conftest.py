"""Trials with known answers."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from relex.candidates import BASE, Candidate
from relex.sweep import CurvePoint, TrialMeasures, TrialResult

Answers = npt.NDArray[np.bool_]
Build = Callable[..., tuple[TrialResult, Answers]]
CHOSEN = Candidate(step=16, method="line")
LAST = Candidate(step=8)
NUM_QUESTIONS, NUM_SAMPLES = 60, 4


def answers_of(accuracy: float, seed: int) -> Answers:
    """Answers to questions of different difficulty, with this accuracy on average."""
    rng = np.random.default_rng(seed)
    ease_Q = np.random.default_rng(0).uniform(-0.2, 0.2, NUM_QUESTIONS)
    chance_Q = np.clip(accuracy + ease_Q, 0, 1)
    return rng.random((NUM_QUESTIONS, NUM_SAMPLES)) < chance_Q[:, None]


@pytest.fixture(scope="session")
def build_trial() -> Build:
    """A trial of a variant and its test answers: finished with an accuracy, or ended for a
    reason."""

    def build(
        variant: str,
        seed: int,
        accuracy: float = 0.0,
        reason: str = "",
        status: str = "failed",
        answers: Answers | None = None,
        chosen: Candidate = CHOSEN,
    ) -> tuple[TrialResult, Answers]:
        run_seed = 1000 * seed + sum(map(ord, variant))
        answers = answers_of(accuracy, run_seed) if answers is None else answers
        curve = {BASE: 0.5, LAST: 0.5 + 0.6 * (accuracy - 0.5), CHOSEN: accuracy}
        measures = TrialMeasures(
            chosen=chosen,
            validation_accuracy=accuracy,
            last_observed_accuracy=curve[LAST],
            test_accuracies={"held_out": float(answers.mean()), "other": 0.25},
            base_test_accuracy=0.5,
            curve=tuple(CurvePoint(candidate=c, accuracy=a) for c, a in curve.items()),
        )
        result = TrialResult(
            label=f"{variant}, seed {seed}",
            variant=variant,
            seed=seed,
            run_id=f"toy-{variant}-{seed}",
            status=status if reason else "finished",
            reason=reason,
            measures=None if reason else measures,
        )
        return result, answers

    return build

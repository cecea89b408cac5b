"""A finished run with the shape of the toy's."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from relex.candidates import BASE, Candidate
from relex.config import SelectionConfig
from relex.report import Link, RunSummary, TrainingStep, benchmark_results
from relex.selection import Habits, Measured, decide

CONFIG = SelectionConfig(num_resamples=1000)
OBSERVED = {10: 0.53, 30: 0.59}
RISING = {60: 0.68, 120: 0.74, 300: 0.13}


def answered(candidate: Candidate, accuracy: float) -> Measured:
    """Exactly this share correct, spread over 100 questions with 4 samples."""
    correct = np.zeros(400, dtype=bool)
    correct[: round(accuracy * 400)] = True
    np.random.default_rng(candidate.step).shuffle(correct)
    return Measured(candidate, correct.reshape(100, 4))


def summary_of(targets: dict[int, float]) -> RunSummary:
    return summarised(measured_of(targets))


def measured_of(targets: dict[int, float]) -> list[Measured]:
    measured = [answered(BASE, 0.51)]
    measured += [answered(Candidate(step=s), a) for s, a in OBSERVED.items()]
    return measured + [answered(Candidate(step=k, method="line"), a) for k, a in targets.items()]


def summarised(measured: list[Measured]) -> RunSummary:
    decision = decide(measured, CONFIG, seed=0)
    graded = {m.candidate: m.correct_QK for m in measured}
    return RunSummary(
        run_id="toy-12345678",
        recipe_digest="ab" * 32,
        window_steps=tuple(range(1, 31)),
        decision=decision,
        benchmarks=tuple(
            benchmark_results(
                "held_out",
                {candidate: graded[candidate] for candidate in decision.finalists.values()},
                decision.last_observed,
                CONFIG,
                seed=1,
            )
        ),
        training=tuple(
            TrainingStep(step=s, metrics={"reward_mean": 0.5 + s / 300, "grad_norm": 0.9})
            for s in range(1, 31)
        ),
        seconds_by_stage={"train": 40.0, "fit": 1.0},
        links=(Link(name="model", address="s3://relex/runs/toy-12345678/model"),),
        versions={"relex": "0.1.0"},
    )


@pytest.fixture(scope="session")
def build_summary() -> Callable[[dict[int, float]], RunSummary]:
    """A summary from the accuracies of the targets."""
    return summary_of


@pytest.fixture(scope="session")
def measured_for() -> Callable[[dict[int, float]], list[Measured]]:
    """Candidates of such a run, before the choice."""
    return measured_of


@pytest.fixture(scope="session")
def summarise() -> Callable[[list[Measured]], RunSummary]:
    """A summary from measured candidates."""
    return summarised


@pytest.fixture(scope="session")
def summary(build_summary) -> RunSummary:
    """A run in which line-120 is chosen."""
    return build_summary(RISING)


@pytest.fixture(scope="session")
def flagged() -> RunSummary:
    """A run in which line-120 is the best but cut at the token limit, so that line-60 is chosen."""
    usual = Habits(
        truncated_fraction=0.01, repeating_fraction=0.0, correct_tokens=120, format_value=None
    )
    groups = ("easy", "hard") * 50
    return summarised(
        [
            replace(
                m,
                group_Q=groups,
                habits=usual.model_copy(
                    update={"truncated_fraction": 0.3 if m.candidate.step == 120 else 0.01}
                ),
            )
            for m in measured_of(RISING)
        ]
    )

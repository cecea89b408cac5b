"""The choice, replayed many times on answers drawn from exact chances.

A sampled answer is right with the exact chance of its question, so drawing answers is what asking
an engine would do, at no cost; candidates' draws are independent, while an engine's common seeds
would make their differences less noisy. The rule and the search are those of the product.

Q questions, K samples per question.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from trajectory import WINDOW_STEPS, Trajectory

from relex.candidates import BASE, LINE, Candidate
from relex.config import SearchConfig, SelectionConfig
from relex.run.conclude import forecasts_badly
from relex.search import Graded, full_grid, search
from relex.search.grid import SECANT, halves, upper_half
from relex.selection import Decision, Measured, decide

LAST = Candidate(step=WINDOW_STEPS)
EARLIER = [Candidate(step=step) for step in (10, 20)]
TENSORS = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(4)]
LENGTHS = (2, 4, 8, 16, 32, 64)
NUM_RESAMPLES = 2000
CLEAR = 1.645
"""Standard errors that make a difference clear at 95 % on one side."""


@dataclass(frozen=True)
class Choice:
    """What one choice came to, measured exactly on the test questions."""

    mode: str
    num_samples: int
    draw: int
    chosen: Candidate
    accuracy: float
    num_answers: int
    """Answers to validation questions that were drawn for it."""

    is_clearly_worse: bool
    """Than the last observed step, by a paired t statistic over the test questions."""


def grid() -> list[Candidate]:
    return full_grid(WINDOW_STEPS, SearchConfig())


def everything() -> list[Candidate]:
    """Line and secant at all targets of the grid, parts to 64 windows, and what was trained."""
    methods = (LINE, SECANT)
    beyond = [Candidate(step=t.step, method=method) for method in methods for t in grid()]
    return [*EARLIER, LAST, *beyond, *of_parts()]


def of_parts() -> list[Candidate]:
    """The secant with the upper half of the layers, with their MLPs, and with halves of these."""
    wholes = upper_half(TENSORS)
    parts = [*wholes, *(half for part in wholes for half in halves(part, TENSORS))]
    return [
        Candidate(step=WINDOW_STEPS * length, method=SECANT, part=part.text)
        for part in parts
        for length in LENGTHS
    ]


def choose(run: Trajectory, mode: str, num_samples: int, draw: int) -> Choice:
    """Choose by `mode`, auto or grid, on the answers of draw number `draw`."""
    answers = _Answers(run, num_samples, draw)
    if mode == "auto":
        found = search(
            answers.graded,
            WINDOW_STEPS,
            answers.num_questions,
            SearchConfig(),
            others=EARLIER,
            cautious=forecasts_badly(run.diagnosis),
            tensors=TENSORS,
        ).graded
    else:
        listed = [BASE, *EARLIER, LAST, *grid()]
        found = {each: answers.graded(each, answers.num_questions) for each in listed}
    measured = [Measured(candidate, graded.correct_QK) for candidate, graded in found.items()]
    decision = decide(measured, SelectionConfig(num_resamples=NUM_RESAMPLES), seed=draw)
    num_answers = sum(graded.correct_QK.size for graded in found.values())
    return _choice(run, decision, mode, num_samples, draw, num_answers)


def _choice(
    run: Trajectory, decision: Decision, mode: str, num_samples: int, draw: int, num_answers: int
) -> Choice:
    chosen_Q, last_Q = (run.exact(each, "test") for each in (decision.chosen, LAST))
    difference_Q = chosen_Q - last_Q
    error = difference_Q.std() / np.sqrt(len(difference_Q))
    return Choice(
        mode=mode,
        num_samples=num_samples,
        draw=draw,
        chosen=decision.chosen,
        accuracy=float(chosen_Q.mean()),
        num_answers=num_answers,
        is_clearly_worse=bool(difference_Q.mean() + CLEAR * error < 0),
    )


def made_by(choices: Sequence[Choice], mode: str, num_samples: int) -> list[Choice]:
    """Those of one mode and number of samples."""
    return [c for c in choices if (c.mode, c.num_samples) == (mode, num_samples)]


class _Answers:
    """Answers of every candidate to the validation questions, the same however often asked."""

    def __init__(self, run: Trajectory, num_samples: int, draw: int) -> None:
        self._run, self._num_samples, self._draw = run, num_samples, draw
        self.num_questions = len(run.exact(BASE, "validation"))

    def graded(self, candidate: Candidate, num_questions: int) -> Graded:
        seed = (zlib.crc32(candidate.key.encode()), self._draw)
        chance_Q = self._run.exact(candidate, "validation")
        uniform_QK = np.random.default_rng(seed).random((self.num_questions, self._num_samples))
        correct_QK = (uniform_QK < chance_Q[:, None])[:num_questions]
        return Graded(correct_QK, num_tokens=correct_QK.size)

"""The rules of choice, replayed many times on answers drawn from exact chances.

A sampled answer is right with the exact chance of its question, so drawing answers is what asking
an engine would do, at no cost; candidates' draws are independent, while an engine's common seeds
would make their differences less noisy. Search and rule are those of the product. A target that the
search asks for and that was not measured counts as the nearest one of its way.

Q questions, K samples per question.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from points import EARLIER, LAST
from record import Record
from setting import WINDOW_STEPS
from tried import half_trust

from relex.candidates import BASE, Candidate, parse_candidate
from relex.config import SearchConfig, SelectionConfig
from relex.parts import MLP, Part, num_layers, place_of
from relex.search import Found, Graded, full_grid, search
from relex.search.grid import SECANT
from relex.search.search import _Search
from relex.search.trials import Trials
from relex.selection import Measured, decide

GRID, ANSWERS, BOTH, WINDOW = "grid", "answers", "both", "window"
SAMPLES = (16, 4)
NUM_DRAWS = 5
NUM_RESAMPLES = 1000
CLEAR = 1.645
"""Standard errors that make a difference clear at 95 % on one side."""

COMPLETIONS_PER_STEP = 1024


@dataclass(frozen=True)
class Choice:
    """What one choice came to, measured exactly on the test questions."""

    rule: str
    num_samples: int
    draw: int
    chosen: str
    """Key of a point in the record."""

    accuracies: tuple[float, ...]
    """At every temperature."""

    num_answers: int
    """To validation questions, that were drawn for it."""

    is_clearly_worse: bool
    """Than the last step, by a paired t statistic over the test questions."""


class Run:
    """A record, with what its rules ask of it."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.task, rate, seed = self._parts
        self.learning_rate, self.seed = float(rate), int(seed)

    @property
    def _parts(self) -> tuple[str, str, str]:
        task, rest = self.record.name.split("-", 1)
        rate, seed = rest.rsplit("-", 1)
        return task, rate, seed

    @cached_property
    def _steps(self) -> dict[tuple[str, str], list[int]]:
        """Measured steps of every way."""
        steps: dict[tuple[str, str], list[int]] = {}
        for key in self.record.chances:
            if "/" not in key and not key.startswith("logits"):
                point = parse_candidate(key)
                steps.setdefault((point.method, point.part), []).append(point.step)
        return steps

    def key(self, candidate: Candidate) -> str:
        """The point of the record that stands for a candidate."""
        if not candidate.is_beyond or candidate.key in self.record.chances:
            return candidate.key
        near = self._steps[candidate.method, candidate.part]
        step = min(near, key=lambda step: abs(math.log(step / candidate.step)))
        return candidate.model_copy(update={"step": step}).key

    @property
    def tensors(self) -> list[str]:
        return list(self.record.gram)

    @cached_property
    def trusted_half(self) -> Part:
        """The MLPs of half of the layers, those neighbours that kept their direction best."""
        layers: dict[int, list[float]] = {}
        for name, gram_SS in self.record.gram.items():
            layer, kind = place_of(name)
            if kind == MLP and layer is not None:
                trust = half_trust(gram_SS, range(1, WINDOW_STEPS + 1))
                layers.setdefault(layer, []).append(trust)
        trust_L = [float(np.mean(layers[layer])) for layer in sorted(layers)]
        half = num_layers(self.tensors) // 2
        first = max(
            range(len(trust_L) - half + 1), key=lambda first: sum(trust_L[first : first + half])
        )
        return Part((first, first + half - 1), MLP)


class _ByTrust(_Search):
    """The product's search, but the window says which part: one way in place of all of them."""

    part: Part

    def _search_parts(self, tensors) -> None:
        way = self._way(SECANT, self.part.text)
        self._go_outwards(way)
        best = self._best_on(way)
        if best is not None and not self._is_below(best):
            self._walk(best)


def choose(run: Run, rule: str, num_samples: int, draw: int) -> Choice:
    """Choose by a rule that asks answers, on those of draw number `draw`."""
    answers = _Answers(run, num_samples, draw)
    graded = _graded(answers, run, rule)
    measured = [Measured(candidate, each.correct_QK) for candidate, each in graded.items()]
    decision = decide(measured, SelectionConfig(num_resamples=NUM_RESAMPLES), seed=draw)
    num_answers = sum(each.correct_QK.size for each in graded.values())
    return _choice(run, run.key(decision.chosen), rule, num_samples, draw, num_answers)


def choose_by_window(run: Run, key: str) -> Choice:
    """The same point everywhere, no answers asked."""
    return _choice(run, key, WINDOW, 0, 0, 0)


def _graded(answers: "_Answers", run: Run, rule: str) -> dict[Candidate, Graded]:
    if rule == GRID:
        listed = [BASE, *EARLIER, LAST, *full_grid(WINDOW_STEPS, SearchConfig())]
        return {each: answers.graded(each, answers.num_questions) for each in listed}
    return _search(answers, run, rule).graded


def _search(answers: "_Answers", run: Run, rule: str) -> Found:
    if rule == ANSWERS:
        return search(
            answers.graded,
            WINDOW_STEPS,
            answers.num_questions,
            SearchConfig(),
            others=EARLIER,
            tensors=run.tensors,
        )
    trials = Trials(answers.graded, lambda expected: None)
    by_trust = _ByTrust(trials, WINDOW_STEPS, answers.num_questions, SearchConfig())
    by_trust.part = run.trusted_half
    return by_trust.run(EARLIER, False, run.tensors)


def _choice(run: Run, key: str, rule: str, num_samples: int, draw: int, num_answers: int) -> Choice:
    record = run.record
    difference_Q = record.chance(key, "test") - record.chance(LAST.key, "test")
    error = difference_Q.std() / np.sqrt(len(difference_Q))
    return Choice(
        rule=rule,
        num_samples=num_samples,
        draw=draw,
        chosen=key,
        accuracies=tuple(record.accuracy(key, heat) for heat in range(3)),
        num_answers=num_answers,
        is_clearly_worse=bool(difference_Q.mean() + CLEAR * error < 0),
    )


def made_by(choices: Sequence[Choice], rule: str, num_samples: int) -> list[Choice]:
    """Those of one rule and number of samples."""
    return [c for c in choices if (c.rule, c.num_samples) == (rule, num_samples)]


class _Answers:
    """Answers of every candidate to the validation questions, the same however often asked."""

    def __init__(self, run: Run, num_samples: int, draw: int) -> None:
        self._run, self._num_samples, self._draw = run, num_samples, draw
        self.num_questions = run.record.num_validation

    def graded(self, candidate: Candidate, num_questions: int) -> Graded:
        key = self._run.key(candidate)
        seed = (zlib.crc32(key.encode()), self._draw)
        chance_Q = self._run.record.chance(key, "validation")
        uniform_QK = np.random.default_rng(seed).random((self.num_questions, self._num_samples))
        correct_QK = (uniform_QK < chance_Q[:, None])[:num_questions]
        return Graded(correct_QK, num_tokens=correct_QK.size)

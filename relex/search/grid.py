"""Where the search may look, and on how many questions.

A way is a method and the tensors that it moves. On it targets stand in a geometric progression of
lengths of the window: on the way outwards each is a stride times the one before, around the best
one half strides are taken, and last quarters. A part of the tensors goes much farther than all of
them, so its strides are twice as wide. Of the questions candidates answer some, before the better
ones answer more.

Q questions, K samples per question.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relex.candidates import LINE, Candidate
from relex.config import SearchConfig
from relex.parts import MLP, Part, num_layers
from relex.search.trials import NUM_ERRORS

SECANT = "secant"
STRIDE, STRIDE_OF_PART = 2.0, 4.0
GRID_STRIDE = 2**0.25
NEAR = (1.1, 1.2)
ROUNDING = 1e-9
QUESTION_FRACTIONS = (0.0625, 0.25)
"""Shares of the questions that all candidates and the better ones answer; finalists answer all."""

MIN_QUESTIONS = 20
"""Fewest questions that anything is judged by. Where samples are few they are as many as make a
loss of `COLLAPSE` clear, but no more than half of all."""

COLLAPSE = 0.1
"""Loss against the last observed step that, when it is clear, ends the way outwards at once."""


@dataclass(frozen=True)
class Way:
    """A method, the part that it moves, and how far; lengths are those of the window."""

    method: str
    part: str
    last_step: int
    farthest: float

    @property
    def stride(self) -> float:
        return STRIDE_OF_PART if self.part else STRIDE

    def outwards(self) -> list[Candidate]:
        """Targets at 2, 4, 8, ... lengths, of a part at 2, 8, 32, ..., ascending."""
        lengths, length = list[float](), STRIDE
        while length <= self.farthest + ROUNDING:
            lengths.append(length)
            length *= self.stride
        return self.at(lengths or [self.farthest])

    def near(self) -> list[Candidate]:
        """Targets just beyond the window, ascending."""
        return self.at(NEAR)

    def neighbours(self, step: int, fraction: float = 0.5) -> list[Candidate]:
        """The targets a fraction of a stride before and after."""
        length, factor = step / self.last_step, self.stride**fraction
        return self.at([length / factor, length * factor])

    def at(self, lengths: Iterable[float]) -> list[Candidate]:
        """Targets at these ascending lengths that lie beyond the window and are allowed."""
        allowed = [length for length in lengths if length <= self.farthest + ROUNDING]
        steps = dict.fromkeys(round(length * self.last_step) for length in allowed)
        return [
            Candidate(step=step, method=self.method, part=self.part)
            for step in steps
            if step > self.last_step
        ]

    def holds(self, candidate: Candidate) -> bool:
        return (candidate.method, candidate.part) == (self.method, self.part)


def way_of(method: str, part: str, last_step: int, config: SearchConfig) -> Way:
    """The way of a method with a part of the tensors, or with all."""
    return Way(method, part, last_step, config.farthest_of_parts if part else config.farthest)


def upper_half(tensors: Collection[str]) -> list[Part]:
    """The MLPs of the upper half of the layers, and all of these layers, where some of the tensors
    are there; none of fewer than two layers."""
    number = num_layers(tensors)
    layers = (number // 2, number - 1)
    return _held([Part(layers, MLP), Part(layers)] if number > 1 else [], tensors)


def halves(part: Part, tensors: Collection[str]) -> list[Part]:
    """The lower and the upper half of a part's layers, where some of the tensors are there; none of
    one layer."""
    assert part.layers is not None
    first, last = part.layers
    middle = (first + last + 1) // 2
    pairs = ((first, middle - 1), (middle, last)) if first < last else ()
    return _held([Part(pair, part.kind) for pair in pairs], tensors)


def _held(parts: Iterable[Part], tensors: Collection[str]) -> list[Part]:
    return [part for part in parts if any(part.holds(name) for name in tensors)]


def full_grid(last_step: int, config: SearchConfig) -> list[Candidate]:
    """The paper's line at every target, a fourth of an octave from each other: what would be
    measured without a search."""
    number = math.floor(math.log(config.farthest, GRID_STRIDE) + ROUNDING)
    way = way_of(LINE, "", last_step, config)
    return way.at([GRID_STRIDE**n for n in range(1, number + 1)] or [config.farthest])


def rungs(correct_QK: npt.NDArray[np.bool_]) -> list[int]:
    """Numbers of questions, ascending and each at least twice the one before; the last is all.

    The answers of the last observed step say how much a difference on one question varies, at most:
    as it does when the answers of two candidates have nothing in common.
    """
    num_questions, num_samples = correct_QK.shape
    accuracy = float(correct_QK.mean())
    variance = 2 * accuracy * (1 - accuracy) / num_samples
    clear = math.ceil(variance * (NUM_ERRORS / COLLAPSE) ** 2)
    fewest = max(MIN_QUESTIONS, min(clear, num_questions // 2))
    numbers: list[int] = []
    for fraction in QUESTION_FRACTIONS:
        number = max(fewest, round(fraction * num_questions))
        if 2 * number <= num_questions and (not numbers or number >= 2 * numbers[-1]):
            numbers.append(number)
    return [*numbers, num_questions]

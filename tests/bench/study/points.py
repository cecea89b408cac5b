"""The fixed set of points that every run is measured at, rich enough to replay any choice.

Lengths are those of the window.
"""

from collections.abc import Iterable

from setting import WINDOW_STEPS

from relex.candidates import BASE, LINE, Candidate, denoised
from relex.search.grid import SECANT

OCTAVES = tuple(2.0**n for n in range(1, 7))
HALF_OCTAVES = tuple(2 ** (n / 2) for n in range(1, 13))
TO_EIGHT = HALF_OCTAVES[:6]
GRID = (1.1, *(2 ** (n / 4) for n in range(1, 14)))
SEARCHED_PARTS = ("2-3.mlp", "2-3", "2.mlp", "3.mlp", "2", "3")
BEST_PART = SEARCHED_PARTS[0]
OTHER_PARTS = (
    *("1-3", "1-3.mlp", "0-1", "0-1.mlp", "0", "1", "0.mlp", "1.mlp"),
    *("0.attention", "1.attention", "2.attention", "3.attention", "mlp", "attention", "embeddings"),
)
POWERS = (4, 8, 16, 32)
LOGITS = (1.5, 2, 3, 4, 6, 8, 12, 16)
"""Factors a of the bound base + a (last step - base) on logits in place of weights."""

SPLITS = ("validation", "test")
LAST = Candidate(step=WINDOW_STEPS)
EARLIER = (Candidate(step=10), Candidate(step=20))


def points_of_window() -> list[Candidate]:
    """Base, trained steps, and all points beyond the window."""
    trained = [Candidate(step=step) for step in range(5, WINDOW_STEPS + 1, 5)]
    beyond = [*_alone(), *_parts(), *_other_methods()]
    return list(dict.fromkeys([BASE, *trained, denoised(WINDOW_STEPS), *beyond]))


def points_of_precision() -> list[Candidate]:
    """What is compared between snapshots of several precisions."""
    return [
        *_at(LINE, TO_EIGHT),
        *_at(SECANT, TO_EIGHT),
        *_at(SECANT, OCTAVES, BEST_PART),
        *_at("tried:trusted-power16", OCTAVES),
    ]


def _alone() -> list[Candidate]:
    """The paper's line and the secant of all tensors."""
    return [*_at(LINE, GRID), *_at(SECANT, GRID)]


def _parts() -> Iterable[Candidate]:
    for part in SEARCHED_PARTS:
        yield from _at(SECANT, HALF_OCTAVES, part)
    for part in OTHER_PARTS:
        yield from _at(SECANT, OCTAVES, part)


def _other_methods() -> Iterable[Candidate]:
    for method in (LINE, "anchored", "secant-gap1"):
        yield from _at(method, OCTAVES, BEST_PART)
    for method in ("line-rank2", "line-rank3", "line-rank5", "tried:quadratic", "scaled_newest"):
        yield from _at(method, TO_EIGHT)
    for power in (2, 8):
        yield from _at(f"tried:trusted_line-power{power}", OCTAVES[:4])
    for power in POWERS:
        yield from _at(f"tried:trusted-power{power}", OCTAVES)
        yield from _at(f"tried:trusted-power{power}", OCTAVES, "mlp")
    for power in (2, 4):
        yield from _at(f"tried:skilled-power{power}", OCTAVES)
    for newest in (3, 5, 10):
        yield from _at(f"tried:averaged-newest{newest}", TO_EIGHT[:4])
        yield from _at(f"tried:averaged-newest{newest}", OCTAVES[1:4], BEST_PART)


def _at(method: str, lengths: Iterable[float], part: str = "") -> list[Candidate]:
    steps = dict.fromkeys(round(length * WINDOW_STEPS) for length in lengths)
    return [Candidate(step=step, method=method, part=part) for step in steps]

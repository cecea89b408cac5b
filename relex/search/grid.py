"""Where the search may look: targets in a geometric progression of lengths of the window.

On the way outwards each target is sqrt(2) times the one before; around the best one half such steps
are taken.
"""

from relex.candidates.candidate import Candidate
from relex.config import SearchConfig

STRIDE = 2**0.5
HALF_STRIDE = 2**0.25
NEAR = (1.1, 1.2)


def way_outwards(last_step: int, config: SearchConfig) -> list[Candidate]:
    """Targets at 1.4, 2, 2.8, 4, ... lengths of the window, ascending."""
    return _targets(last_step, config, [STRIDE**n for n in range(1, _num_strides(config) + 1)])


def near_targets(last_step: int, config: SearchConfig) -> list[Candidate]:
    """Targets just beyond the window, ascending."""
    return _targets(last_step, config, NEAR)


def neighbours(target: int, last_step: int, config: SearchConfig) -> list[Candidate]:
    """The targets half a stride before and after."""
    length = target / last_step
    return _targets(last_step, config, [length / HALF_STRIDE, length * HALF_STRIDE])


def full_grid(last_step: int, config: SearchConfig) -> list[Candidate]:
    """Every target, half a stride from each other: what would be measured without a search."""
    num_halves = 2 * _num_strides(config) + 1
    return _targets(last_step, config, [HALF_STRIDE**n for n in range(1, num_halves + 1)])


def _num_strides(config: SearchConfig) -> int:
    """Strides from the window to the farthest target that is allowed."""
    number = 0
    while STRIDE ** (number + 1) <= config.farthest:
        number += 1
    return max(number, 1)


def _targets(
    last_step: int, config: SearchConfig, lengths: list[float] | tuple[float, ...]
) -> list[Candidate]:
    steps = {round(length * last_step) for length in lengths if length <= config.farthest}
    return [Candidate(kind="extrapolated", step=step) for step in sorted(steps) if step > last_step]

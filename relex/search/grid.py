"""Where the search may look: targets in a geometric progression of lengths of the window.

On the way outwards each target is a stride (sqrt(2), or 2 where few can be tried) times the one
before; around the best one half strides are taken.
"""

from relex.candidates import LINE, Candidate
from relex.config import SearchConfig

STRIDE = 2**0.5
WIDE_STRIDE = 2.0
NEAR = (1.1, 1.2)
ROUNDING = 1e-9


def way_outwards(last_step: int, config: SearchConfig, stride: float = STRIDE) -> list[Candidate]:
    """Targets at 1.4, 2, 2.8, 4, ... lengths of the window, ascending."""
    return _targets(last_step, config, [stride**n for n in range(1, _num_strides(config) + 1)])


def near_targets(last_step: int, config: SearchConfig) -> list[Candidate]:
    """Targets just beyond the window, ascending."""
    return _targets(last_step, config, NEAR)


def neighbours(
    target: int, last_step: int, config: SearchConfig, stride: float = STRIDE
) -> list[Candidate]:
    """The targets half a stride before and after."""
    length, half = target / last_step, stride**0.5
    return _targets(last_step, config, [length / half, length * half])


def full_grid(last_step: int, config: SearchConfig) -> list[Candidate]:
    """Every target, half a stride from each other: what would be measured without a search."""
    num_halves = 2 * _num_strides(config) + 1
    half = STRIDE**0.5
    return _targets(last_step, config, [half**n for n in range(1, num_halves + 1)])


def _num_strides(config: SearchConfig) -> int:
    """Strides from the window to the farthest target that is allowed."""
    number = 0
    while STRIDE ** (number + 1) <= config.farthest + ROUNDING:
        number += 1
    return max(number, 1)


def _targets(
    last_step: int, config: SearchConfig, lengths: list[float] | tuple[float, ...]
) -> list[Candidate]:
    farthest = config.farthest + ROUNDING
    steps = {round(length * last_step) for length in lengths if length <= farthest}
    return [Candidate(step=step, method=LINE) for step in sorted(steps) if step > last_step]

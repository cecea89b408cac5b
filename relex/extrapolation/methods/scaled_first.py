"""The first update, scaled to the target."""

from collections.abc import Sequence

from relex.extrapolation.method import point
from relex.extrapolation.subspace import Array


def scaled_first(gram_SS: Array, steps: Sequence[int], target: int) -> Array:
    """target / s D[s] with s the first step: the line from the base through the first snapshot.

    All that is needed of a straight trajectory, and the least that a window has to beat.
    """
    return target / steps[0] * point(steps, 0)

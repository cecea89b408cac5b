"""The line, moved so that it starts at the newest snapshot."""

from collections.abc import Sequence

from relex.extrapolation.method import point
from relex.extrapolation.methods.line import line
from relex.extrapolation.subspace import Array


def anchored(gram_SS: Array, steps: Sequence[int], target: int, *, rank: int = 1) -> Array:
    """D[T] + line(target) - line(T): what the line leaves out of the newest snapshot stays.

    The line of the paper does not go through the snapshots, so even at T it drops what lies beside
    it; here only the line's difference from T on is predicted.
    """
    beyond_S = line(gram_SS, steps, target, rank=rank) - line(gram_SS, steps, steps[-1], rank=rank)
    return point(steps, -1) + beyond_S

"""The line with its displacement shrunk."""

from collections.abc import Sequence

from relex.extrapolation.methods.line import line
from relex.extrapolation.subspace import Array


def shrunk(
    gram_SS: Array, steps: Sequence[int], target: int, *, factor: float = 0.7, rank: int = 1
) -> Array:
    """factor line(target): the direction that belongs to a far target, and less of it.

    Shrinkage of a noisy estimate towards the base (James and Stein 1961).
    """
    return factor * line(gram_SS, steps, target, rank=rank)

"""The newest displacement, scaled to the target."""

from collections.abc import Sequence

from relex.extrapolation.method import point
from relex.extrapolation.subspace import Array


def scaled_newest(gram_SS: Array, steps: Sequence[int], target: int) -> Array:
    """target / T D[T]: the line from the base through the newest snapshot, T.

    ExPO (Zheng et al. 2024, arXiv 2404.16792) with 1 + alpha = target / T.
    """
    return target / steps[-1] * point(steps, -1)

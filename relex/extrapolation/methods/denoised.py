"""A snapshot of the window as the line has it."""

from collections.abc import Sequence

from relex.extrapolation.methods.line import line
from relex.extrapolation.subspace import Array

INSIDE_WINDOW = True


def denoised(gram_SS: Array, steps: Sequence[int], target: int, *, rank: int = 1) -> Array:
    """line(target) at a step of the window: the snapshot without what lies beside the line.

    Reconstruction in RELEX, arXiv 2605.21468, with the line's coefficient in place of the
    snapshot's own.
    """
    return line(gram_SS, steps, target, rank=rank)

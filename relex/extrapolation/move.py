"""Moves weights along vectors of a basis, and rounds once.

N elements, M of them that may have moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from relex.extrapolation.scratch import Scratch

Term = tuple[torch.Tensor, float]
"""Elements that may have moved of one vector, M, float32; and its factor."""


@dataclass(frozen=True)
class Moving:
    """Elements of which some move."""

    weights_N: torch.Tensor
    position_M: torch.Tensor | None
    """Where those lie that may move; None when all of them may."""

    start_M: torch.Tensor
    """Their weights."""


def move(
    moving: Moving,
    snapshots: Sequence[Term],
    sums: Sequence[Term],
    dtype: torch.dtype,
    scratch: Scratch,
) -> torch.Tensor:
    """The weights moved by the terms: N of `dtype`, in `scratch`.

    The bits that adding the displacements of all elements gives, at the cost of those that move.
    Without terms all keep their bits. Single snapshots are added before the other sums, so that
    what starts at the newest snapshot starts at its weights.
    """
    if not snapshots and not sums:
        return moving.weights_N.to(dtype)
    wide = torch.promote_types(moving.start_M.dtype, torch.float32)
    moved_M = scratch.take("start", moving.start_M.shape, wide).copy_(moving.start_M)
    for terms in (snapshots, sums):
        if terms:
            moved_M += _weighted_sum(terms, scratch)
    rounded_M = scratch.take("rounded", moved_M.shape, dtype).copy_(moved_M)
    if moving.position_M is None:
        return rounded_M
    # The sign of a zero displacement decides about that of a weight of -0.0.
    is_negative = all(factor < 0 for _, factor in (*snapshots, *sums))
    predicted_N = scratch.take("predicted", moving.weights_N.shape, dtype)
    torch.add(moving.weights_N, -0.0 if is_negative else 0.0, out=predicted_N)
    return predicted_N.scatter_(0, moving.position_M, rounded_M)


def _weighted_sum(terms: Sequence[Term], scratch: Scratch) -> torch.Tensor:
    """In float32, term by term: several times as fast as a product with a matrix of few rows."""
    (first_M, factor), *rest = terms
    sum_M = scratch.take("sum of terms", first_M.shape, torch.float32)
    torch.mul(first_M, factor, out=sum_M)
    for vector_M, factor in rest:
        sum_M += vector_M * factor
    return sum_M

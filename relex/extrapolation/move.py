"""Moves weights along vectors of a basis, and rounds once.

N elements, M of them that may have moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

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


def move(moving: Moving, snapshots: Sequence[Term], sums: Sequence[Term]) -> torch.Tensor:
    """The weights moved by the terms, in their dtype: N.

    The bits that adding the displacements of all elements gives, at the cost of those that move.
    Without terms all keep their bits. Single snapshots are added before the other sums, so that
    what starts at the newest snapshot starts at its weights.
    """
    weights_N, position_M = moving.weights_N, moving.position_M
    if not snapshots and not sums:
        return weights_N
    wide = torch.promote_types(moving.start_M.dtype, torch.float32)
    moved_M = moving.start_M.to(wide, copy=True)
    for terms in (snapshots, sums):
        if terms:
            moved_M += _weighted_sum(terms)
    rounded_M = moved_M.to(weights_N.dtype)
    if position_M is None:
        return rounded_M
    # The sign of a zero displacement decides about that of a weight of -0.0.
    is_negative = all(factor < 0 for _, factor in (*snapshots, *sums))
    return (weights_N + (-0.0 if is_negative else 0.0)).scatter_(0, position_M, rounded_M)


def _weighted_sum(terms: Sequence[Term]) -> torch.Tensor:
    """In float32, term by term: several times as fast as a product with a matrix of few rows."""
    (first_M, factor), *rest = terms
    sum_M = first_M * factor
    for vector_M, factor in rest:
        sum_M += vector_M * factor
    return sum_M

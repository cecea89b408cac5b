"""Squared lengths and inner products of sums of displacements, from their Gram matrix alone.

S steps of the window, X sums.

With G = D D^T, the sum w^T D of displacements has the squared length w^T G w, and two sums have the
inner product v^T G w. A snapshot is the sum with a single 1, the base the one without any, an
update of the weights the difference of two snapshots.

Where a sum is short against its terms, digits cancel. An entry of G is off by at most about 1e-6 of
the product of the two norms (9e-7 was the largest in 36 random matrices of 200 x 200 entries from
one block of `gram.py`; larger tensors lose less), so w^T G w is off by at most
1e-6 (sum_s |w_s| |D[s]|)^2. For many tensors together Gram matrices are added and so are the
squares of these errors, because roundings are independent of each other. A squared length is known
when it is ten times the error that it may have: the updates of a straight line up to 150 steps.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from relex.extrapolation.subspace import Array

GRAM_ROUNDING = 1e-6
KNOWN_FACTOR = 10.0


@dataclass(frozen=True)
class Movement:
    """The displacements of one tensor, or of many that are taken as one vector; float64."""

    gram_SS: Array
    """Inner products of the displacements."""

    rounding_SS: Array
    """How far each of them may be off."""

    def combine(self, weight_XS: Array) -> "Movement":
        """The movement that has the sums in place of the snapshots."""
        size_XS = np.abs(weight_XS)
        return Movement(
            weight_XS @ self.gram_SS @ weight_XS.T, size_XS @ self.rounding_SS @ size_XS.T
        )

    def square(self, weight_XS: Array) -> float:
        """Squared length of a sum, or of several added; zero where rounding made it negative."""
        weight_XS = np.atleast_2d(weight_XS)
        return max(float(np.vdot(weight_XS, weight_XS @ self.gram_SS)), 0.0)

    def known_square(self, weight_XS: Array) -> float | None:
        """As `square`, but None where it drowns in rounding."""
        square, size_XS = self.square(weight_XS), np.abs(np.atleast_2d(weight_XS))
        rounding = float(np.vdot(size_XS, size_XS @ self.rounding_SS))
        return square if square > KNOWN_FACTOR * rounding else None

    def cosine(self, weight_S: Array, other_S: Array) -> float | None:
        """Cosine of the angle between two sums; None where one of them is not known."""
        squares = self.known_square(weight_S), self.known_square(other_S)
        if squares[0] is None or squares[1] is None:
            return None
        cosine = float(weight_S @ self.gram_SS @ other_S) / math.sqrt(squares[0] * squares[1])
        return min(max(cosine, -1.0), 1.0)


def movement_of(gram_SS: Array) -> Movement:
    """The movement of the tensor whose displacements have these inner products."""
    norm_S = np.sqrt(gram_SS.diagonal())
    return Movement(gram_SS, GRAM_ROUNDING * np.outer(norm_S, norm_S))


def joint_movement(movements: Collection[Movement], num_steps: int) -> Movement:
    """All tensors as one vector."""
    zero_SS = np.zeros((num_steps, num_steps))
    return Movement(
        sum((movement.gram_SS for movement in movements), zero_SS),
        np.sqrt(sum((movement.rounding_SS**2 for movement in movements), zero_SS)),
    )


def update_weights(num_steps: int) -> Array:
    """The updates as sums of displacements: row s leads to snapshot s, row 0 from the base."""
    return np.eye(num_steps) - np.eye(num_steps, k=-1)

"""Whether the weights keep their direction: between the halves of a window, from step to step.

S steps.
"""

from collections.abc import Sequence

import numpy as np
import torch

from relex.extrapolation.movement import KNOWN_FACTOR, Movement, update_weights
from relex.extrapolation.subspace import Array, leading_subspace


def half_cosine(movement: Movement, steps: Sequence[int]) -> float | None:
    """Cosine between the directions of the first and the second half of the window.

    The first is the leading direction of the displacements up to the middle snapshot, the second
    that of what was added to the middle snapshot later; both point to where their half ends.
    Displacements of both halves from the base would share all that the first half moved, and be
    alike whatever the second did. The middle snapshot is the one nearest to half of the way from
    the base to the last step. None when a half holds no snapshot or no movement that is known.
    """
    num_steps = len(steps)
    distances = [abs(2 * step - steps[-1]) for step in steps[:-1]]
    if not distances:
        return None
    num_first = distances.index(min(distances)) + 1
    point_SS = np.eye(num_steps)
    first = _leading(movement, point_SS[:num_first])
    second = _leading(movement, point_SS[num_first:] - point_SS[num_first - 1])
    return None if first is None or second is None else movement.cosine(first, second)


def _leading(movement: Movement, weight_XS: Array) -> Array | None:
    """The leading direction of some sums of displacements, itself such a sum."""
    gram_XX = movement.combine(weight_XS).gram_SS
    left_XR = leading_subspace(torch.from_numpy(gram_XX), 1).left_SR.numpy()
    return left_XR[:, 0] @ weight_XS if left_XR.shape[1] else None


def persistence(movement: Movement) -> float | None:
    """Mean cosine of consecutive updates, weighted by their lengths; None where none is known.

    1 where every update repeats the one before it, about 0 for a random walk, but also where the
    snapshots are rounded more coarsely than the weights move in a step, as in bfloat16.
    """
    updates = movement.combine(update_weights(len(movement.gram_SS)))
    square_S = updates.gram_SS.diagonal()
    is_known_S = square_S > KNOWN_FACTOR * updates.rounding_SS.diagonal()
    is_pair_S = is_known_S[1:] & is_known_S[:-1]
    product_S = updates.gram_SS.diagonal(1)[is_pair_S]
    length_S = np.sqrt((square_S[1:] * square_S[:-1])[is_pair_S])
    return float(product_S.sum() / length_S.sum()) if len(length_S) else None

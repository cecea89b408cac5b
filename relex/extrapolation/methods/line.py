"""The paper's line: least squares along the leading directions of a tensor.

S steps, R directions.
"""

from collections.abc import Sequence

import numpy as np

from relex.errors import FactorsError
from relex.extrapolation.subspace import Array, leading_vectors


def line(gram_SS: Array, steps: Sequence[int], target: int, *, rank: int = 1) -> Array:
    """Coefficients of the `rank` leading directions, each on its least-squares line at `target`.

    With the leading unit eigenvectors u_r of the Gram matrix and the weights p of a line's value at
    `target` among the values at the steps, weight = sum_r u_r (u_r . p). RELEX, arXiv 2605.21468;
    its finding is that rank 1 is enough. Raises FactorsError when `rank` is not within 1 and S.
    """
    if not 1 <= rank <= len(steps):
        raise FactorsError(
            f"rank {rank} is impossible with {len(steps)} snapshots; choose 1 to {len(steps)}"
        )
    left_SR = leading_vectors(gram_SS, rank)
    weight_S: Array = left_SR @ (left_SR.T @ line_weights(steps, target))
    return weight_S


def line_weights(steps: Sequence[int], target: int) -> Array:
    """Weights of the values at `steps` in their least-squares line's value at `target`: S.

    The line through values y goes through (mean s, mean y) with the slope
    sum_s (s - mean s) y_s / sum_s (s - mean s)^2, so each value has the weight
    1 / S + (target - mean s) (s - mean s) / sum_s (s - mean s)^2.
    """
    step_S = np.asarray(steps, dtype=np.float64)
    centred_S = step_S - step_S.mean()
    slope_S = centred_S / (centred_S @ centred_S)
    weight_S: Array = 1 / len(steps) + (target - step_S.mean()) * slope_S
    return weight_S

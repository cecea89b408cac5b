"""The leading directions of a tensor's displacements, from their Gram matrix.

S steps, N elements of the tensor, R directions.

With D the S x N displacements and D D^T = U L U^T, the r-th singular value is sigma = sqrt(L_r),
the direction is the unit vector v = D^T u / sigma and the coefficients by step are c = sigma u, so
that sum_r c_r v_r^T is the best rank-R approximation of D (Eckart-Young; the method of snapshots,
Sirovich 1987).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class Subspace:
    """The R leading directions, described in the space of the steps; all float64 on the CPU."""

    left_SR: torch.Tensor
    """Unit vectors u, by falling singular value; the last step's entry is not negative."""

    sigma_R: torch.Tensor
    """Singular values, all positive."""

    squared_norm: float
    """Squared Frobenius norm of D: the sum of all squared singular values."""

    @property
    def coefficient_SR(self) -> torch.Tensor:
        return self.left_SR * self.sigma_R


def leading_subspace(gram_SS: torch.Tensor, rank: int) -> Subspace:
    """The `rank` leading directions, or fewer when the displacements span fewer.

    Directions whose squared singular value is within the rounding of the Gram matrix are left out:
    that of float32, relative to the largest. A tensor that never moved has none.
    """
    gram_SS = gram_SS.cpu()
    square_S, left_SS = torch.linalg.eigh(gram_SS)
    rounding = float(square_S[-1]) * torch.finfo(torch.float32).eps
    num_directions = min(rank, int((square_S > max(rounding, 0.0)).sum()))
    leading = torch.arange(len(gram_SS) - 1, len(gram_SS) - 1 - num_directions, -1)
    left_SR = left_SS[:, leading]
    left_SR = torch.where(left_SR[-1] < 0, -left_SR, left_SR)
    return Subspace(left_SR, square_S[leading].sqrt(), float(gram_SS.trace()))


def leading_vectors(gram_SS: Array, rank: int) -> Array:
    """The unit vectors u of the `rank` leading directions, or of fewer: S x R, not to be changed.

    Those found last are remembered, as methods ask for them again and again.
    """
    return _leading_vectors(gram_SS.tobytes(), rank)


@lru_cache(maxsize=8)
def _leading_vectors(gram: bytes, rank: int) -> Array:
    gram_SS = torch.frombuffer(bytearray(gram), dtype=torch.float64)
    num_steps = math.isqrt(len(gram_SS))
    left_SR: Array = leading_subspace(gram_SS.view(num_steps, num_steps), rank).left_SR.numpy()
    left_SR.flags.writeable = False
    return left_SR

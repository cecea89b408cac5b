"""The leading directions of a tensor's displacements, from their Gram matrix.

S steps, N elements, M of them that may have moved, R directions.

With D the S x N displacements and D D^T = U L U^T, the r-th singular value is sigma = sqrt(L_r),
the direction is the unit vector v = D^T u / sigma and the coefficients by step are c = sigma u, so
that sum_r c_r v_r^T is the best rank-R approximation of D (Eckart-Young; the method of snapshots,
Sirovich 1987).
"""

from dataclasses import dataclass

import torch

from relex.extrapolation.displacements import Piece
from relex.extrapolation.scratch import Scratch


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


def piece_directions(piece: Piece, subspace: Subspace, scratch: Scratch) -> torch.Tensor:
    """The directions' elements that may not be zero in a piece: R x M, float32, in `scratch`."""
    return piece.combine((subspace.left_SR / subspace.sigma_R).T.float(), scratch)

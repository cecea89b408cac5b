"""The fit of displacements that are products of thin matrices: LoRA adapters.

S steps, B sums, M rows and N columns of a weight, K columns of one product, T = S K columns
of all products side by side.

With D_s = L_s R_s, the Gram entries are <D_s, D_t> = sum over K x K of (L_s^T L_t) * (R_s R_t^T):
no M x N matrix is made. A weighted sum of the D_s is again a product, T columns wide. It is
compressed by the singular value decomposition of its core: with the eigenvectors of
L^T L = U1 E1 U1^T and R R^T = U2 E2 U2^T, L = Q1 sqrt(E1) U1^T and R = U2 sqrt(E2) Q2^T with
orthonormal Q1 and Q2, so the singular values of the product are those of the small matrix
sqrt(E1) U1^T diag(weights) U2 sqrt(E2). All of it in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from relex.window import LowRank

SUM_ERROR = 1e-7
"""Share of a sum's length that compressing it may cost: about what float32 rounds away."""

SMALLEST_SQUARE = 1e-15
"""Eigenvalues of L^T L below this share of the largest are rounding."""


@dataclass(frozen=True)
class Stack:
    """The products of all steps side by side, and their inner products."""

    left_MT: torch.Tensor
    right_TN: torch.Tensor
    left_square_TT: torch.Tensor
    right_square_TT: torch.Tensor
    num_steps: int

    def gram(self) -> torch.Tensor:
        """Inner products of the steps: S x S, float64."""
        width = len(self.left_square_TT) // self.num_steps
        products_SKSK = (self.left_square_TT * self.right_square_TT).reshape(
            self.num_steps, width, self.num_steps, width
        )
        return products_SKSK.sum((1, 3))

    def combine(self, weight_S: torch.Tensor) -> torch.Tensor:
        """Weights of the columns in the weighted sum of the steps: T."""
        return weight_S.repeat_interleave(len(self.left_square_TT) // self.num_steps)


def stack(products: Sequence[LowRank]) -> Stack:
    """Side by side, in float64; all of the same width."""
    left_MT = torch.cat([product.left_MK for product in products], dim=1).double()
    right_TN = torch.cat([product.right_KN for product in products]).double()
    return Stack(left_MT, right_TN, left_MT.T @ left_MT, right_TN @ right_TN.T, len(products))


def weighted_sums(stacked: Stack, weight_BS: torch.Tensor) -> list[LowRank]:
    """Sums of the steps' products, each as narrow as SUM_ERROR allows; float32."""
    left, right = _root(stacked.left_square_TT), _root(stacked.right_square_TT)
    found = []
    for weight_S in weight_BS:
        weight_T = stacked.combine(weight_S)
        core = left.root.T @ (weight_T[:, None] * right.root)
        first, singular, second = torch.linalg.svd(core, full_matrices=False)
        width = num_kept(singular, SUM_ERROR)
        left_MK = stacked.left_MT @ (left.inverse @ (first[:, :width] * singular[:width]))
        right_KN = (right.inverse @ second[:width].T).T @ stacked.right_TN
        found.append(LowRank(left_MK.float(), right_KN.float()))
    return found


def compress(product: LowRank, rank: int) -> tuple[LowRank, float, float]:
    """The nearest product of `rank` columns (Eckart-Young), with the squared error and the square.

    Columns of zeros fill it where the product has fewer. The left factor takes the root of each
    singular value and the right one too, so that both are of one size.
    """
    left_q, left_r = torch.linalg.qr(product.left_MK.double())
    right_q, right_r = torch.linalg.qr(product.right_KN.T.double())
    first, singular, second = torch.linalg.svd(left_r @ right_r.T)
    root = singular[:rank].sqrt()
    left_MK = left_q @ (first[:, : len(root)] * root)
    right_KN = (root[:, None] * second[: len(root)]) @ right_q.T
    num_absent = rank - len(root)
    left_MK = torch.nn.functional.pad(left_MK, (0, num_absent))
    right_KN = torch.nn.functional.pad(right_KN, (0, 0, 0, num_absent))
    dropped = float(singular[rank:].square().sum())
    return LowRank(left_MK.float(), right_KN.float()), dropped, float(singular.square().sum())


def num_kept(singular: torch.Tensor, error: float) -> int:
    """How many of the falling singular values to keep, so that `error` of their length is left."""
    square = singular.square()
    dropped = square.flip(0).cumsum(0).flip(0)
    kept = int((dropped > error**2 * dropped[0]).sum())
    return max(kept, 1)


@dataclass(frozen=True)
class _Root:
    """For L with L^T L = U E U^T: L = Q root^T with root = U sqrt(E), and Q = L inverse."""

    root: torch.Tensor
    inverse: torch.Tensor


def _root(square_TT: torch.Tensor) -> _Root:
    value_T, vector_TT = torch.linalg.eigh(square_TT)
    kept = value_T > SMALLEST_SQUARE * value_T[-1]
    root = value_T[kept].sqrt()
    return _Root(vector_TT[:, kept] * root, vector_TT[:, kept] / root)

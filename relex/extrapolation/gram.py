"""The Gram matrix of a tensor's displacements, accumulated piece by piece.

S steps, B blocks, n elements of a block.

Within a block the products are summed in float32, n = 512 at a time; blocks and pieces are added
in float64. A float32 dot product of n terms is off by at most n u sum |x_i y_i| with u = 2^-24
(Higham, Accuracy and Stability, section 3.1), so relative to the squared norms at most 3e-5 and, as
roundings are independent of each other, about sqrt(n) u / 2 = 7e-7 for one block; over B blocks
they average out to 7e-7 / sqrt(B), so a larger tensor loses less. Small pieces have too few blocks
for that, and are summed in float64 throughout. Weights in half precision move by few units in the
last place, so nearly all products and sums of a block are exact.
"""

import torch

from relex.extrapolation.displacements import BLOCK_ELEMENTS, Piece
from relex.extrapolation.scratch import Scratch

SMALL_ELEMENTS = 1 << 14
"""Up to here a piece is summed in float64: a larger one is off by 7e-7 / sqrt(32) = 1.2e-7."""


def piece_gram(piece: Piece, scratch: Scratch) -> torch.Tensor:
    """D D^T of one piece: S x S, float64, on the device of the piece."""
    gram_SS = torch.zeros(
        (len(piece.snapshot_SM),) * 2, dtype=torch.float64, device=piece.base_N.device
    )
    products = _products if piece.snapshot_SM.shape[1] > SMALL_ELEMENTS else _float64_products
    for displacement_SM in piece.displacements(scratch):
        gram_SS += products(displacement_SM)
    return gram_SS


def _products(displacement_SM: torch.Tensor) -> torch.Tensor:
    num_steps = len(displacement_SM)
    block_BSn = displacement_SM.view(num_steps, -1, BLOCK_ELEMENTS).transpose(0, 1)
    return torch.bmm(block_BSn, block_BSn.transpose(1, 2)).sum(0, dtype=torch.float64)


def _float64_products(displacement_SM: torch.Tensor) -> torch.Tensor:
    double_SM = displacement_SM.double()
    return double_SM @ double_SM.T

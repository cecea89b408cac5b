"""The Gram matrix of a tensor's displacements, piece by piece, and which elements moved.

S steps, B blocks, n elements of a block, N elements of a piece, M of them that may have moved.

Within a block the products are summed in float32, n = 512 at a time; blocks and pieces are added
in float64. A float32 dot product of n terms is off by at most n u sum |x_i y_i| with u = 2^-24
(Higham, Accuracy and Stability, section 3.1), so relative to the squared norms at most 3e-5 and, as
roundings are independent of each other, about sqrt(n) u / 2 = 7e-7 for one block; over B blocks
they average out to 7e-7 / sqrt(B), so a larger tensor loses less. Small pieces have too few blocks
for that, and are summed in float64 throughout. Weights in half precision move by few units in the
last place, so nearly all products and sums of a block are exact.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from relex.extrapolation.basis_file import Bits, pack_bits
from relex.extrapolation.displacements import BLOCK_ELEMENTS, Piece

SMALL_ELEMENTS = 1 << 14
"""Up to here a piece is summed in float64: a larger one is off by 7e-7 / sqrt(32) = 1.2e-7."""


@dataclass(frozen=True)
class PieceGram:
    """What is kept of a piece until its tensor is read; on the CPU."""

    gram_SS: torch.Tensor
    """D D^T, float64."""

    moved: Bits
    """Those of the moving elements whose displacement is not zero at every step."""


def piece_gram(piece: Piece) -> PieceGram:
    """One pass over the displacements of a piece."""
    gram_SS = torch.zeros(
        (len(piece.snapshot_SM),) * 2, dtype=torch.float64, device=piece.base_N.device
    )
    products = _products if piece.snapshot_SM.shape[1] > SMALL_ELEMENTS else _float64_products
    chunks = []
    for displacement_SM in piece.displacements():
        gram_SS += products(displacement_SM)
        chunks.append(_is_moved(displacement_SM))
    is_moved_M = np.concatenate(chunks)[: piece.num_moving]
    return PieceGram(gram_SS.cpu(), pack_bits(is_moved_M))


def _is_moved(displacement_SM: torch.Tensor) -> npt.NDArray[np.bool_]:
    """Whether any bit of an element's displacements is set."""
    bits_SM = displacement_SM.view(torch.int32)
    is_moved_M: npt.NDArray[np.bool_]
    if bits_SM.device.type == "cpu":  # ten times as fast as torch
        is_moved_M = np.bitwise_or.reduce(bits_SM.numpy(), axis=0) != 0
    else:
        is_moved_M = bits_SM.ne(0).any(0).cpu().numpy()
    return is_moved_M


def _products(displacement_SM: torch.Tensor) -> torch.Tensor:
    num_steps = len(displacement_SM)
    block_BSn = displacement_SM.view(num_steps, -1, BLOCK_ELEMENTS).transpose(0, 1)
    return torch.bmm(block_BSn, block_BSn.transpose(1, 2)).sum(0, dtype=torch.float64)


def _float64_products(displacement_SM: torch.Tensor) -> torch.Tensor:
    double_SM = displacement_SM.double()
    return double_SM @ double_SM.T

"""The Gram matrix of a tensor's displacements, accumulated piece by piece.

S steps, N elements of one piece.

Products are taken over blocks of BLOCK_ELEMENTS elements whatever the size of the piece. So the sum
has the same order, and the same bits, under every memory budget whose pieces are whole blocks.
"""

from collections.abc import Iterator

import torch

BLOCK_ELEMENTS = 1 << 16


def blocks(displacement_SN: torch.Tensor) -> Iterator[torch.Tensor]:
    """The columns, BLOCK_ELEMENTS at a time."""
    for first in range(0, displacement_SN.shape[1], BLOCK_ELEMENTS):
        yield displacement_SN[:, first : first + BLOCK_ELEMENTS]


def add_gram(gram_SS: torch.Tensor, displacement_SN: torch.Tensor) -> None:
    """Add D D^T to `gram_SS` (float64, on the device of D) in place.

    The products of float32 values are exact in float64, so only the sum rounds.
    """
    for block_SN in blocks(displacement_SN):
        wide_SN = block_SN.double()
        gram_SS.addmm_(wide_SN, wide_SN.T)

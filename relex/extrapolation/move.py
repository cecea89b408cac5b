"""Moves weights along directions, and rounds once.

N elements, M of them that may have moved, R directions.
"""

from dataclasses import dataclass

import torch

from relex.config.extrapolation import Convention
from relex.extrapolation.displacements import Piece
from relex.extrapolation.scratch import Scratch


@dataclass(frozen=True)
class Moving:
    """Elements of which some move."""

    weights_N: torch.Tensor
    position_M: torch.Tensor | None
    """Where those lie that may move; None when all of them may."""

    start_M: torch.Tensor
    """Their weights."""

    direction_RM: torch.Tensor


def move(
    moving: Moving,
    coefficient_R: torch.Tensor,
    dtype: torch.dtype,
    convention: Convention,
    scratch: Scratch,
) -> torch.Tensor:
    """The weights moved along the directions: N of `dtype`, in `scratch`.

    The bits that adding the displacements of all elements gives, at the cost of those that move.
    Without directions all keep their bits.
    """
    if not len(coefficient_R):
        return moving.weights_N.to(dtype)
    moved_M = _add_displacement(
        moving.start_M, moving.direction_RM, coefficient_R, dtype, convention, scratch
    )
    if moving.position_M is None:
        return moved_M
    still_N = moving.weights_N.bfloat16() if convention == "published" else moving.weights_N
    # The sign of a zero displacement decides about that of a weight of -0.0.
    zero = -0.0 if bool(coefficient_R.signbit().all()) else 0.0
    predicted_N = scratch.take("predicted", still_N.shape, dtype)
    return torch.add(still_N, zero, out=predicted_N).scatter_(0, moving.position_M, moved_M)


def move_piece(
    piece: Piece,
    direction_RM: torch.Tensor,
    coefficient_R: torch.Tensor,
    dtype: torch.dtype,
    scratch: Scratch,
) -> torch.Tensor:
    """A piece moved along the directions of its moving elements: N of `dtype`, in `scratch`."""
    start_M = piece.start_M[: piece.num_moving]
    moving = Moving(piece.base_N, piece.position_M, start_M, direction_RM)
    return move(moving, coefficient_R, dtype, piece.convention, scratch)


def _add_displacement(
    weights_N: torch.Tensor,
    direction_RN: torch.Tensor,
    coefficient_R: torch.Tensor,
    dtype: torch.dtype,
    convention: Convention,
    scratch: Scratch,
) -> torch.Tensor:
    """The weights moved along one direction or more: N of `dtype`, in `scratch`.

    Summed in at least float32, and rounded once.
    """
    moved_N = scratch.take("moved", weights_N.shape, torch.float32)
    # Term by term, several times as fast as a product with a matrix that has one row or few.
    coefficients = coefficient_R.float().tolist()
    torch.mul(direction_RN[0], coefficients[0], out=moved_N)
    for direction_N, coefficient in zip(direction_RN[1:], coefficients[1:], strict=False):
        moved_N += direction_N * coefficient
    if weights_N.dtype == torch.float64:
        moved_N = moved_N + weights_N
    else:
        start_N = scratch.take("start", weights_N.shape, torch.float32)
        moved_N += start_N.copy_(weights_N)
    if convention == "published":
        moved_N = moved_N.bfloat16()
    return scratch.take("rounded", weights_N.shape, dtype).copy_(moved_N)

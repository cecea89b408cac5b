"""Forecast skill: how well the first part of a window predicts the last steps of it.

S steps of the window, K of them kept, H held out, R directions.

The last quarter of the steps, rounded down but at least one, is held out. Directions and lines are
fitted to the others exactly as for a whole window, and predict the displacement at each step that
was held out. With SSE the squared distances to what was observed, summed over those steps,

    skill = 1 - SSE(prediction) / SSE(reference)

(Murphy 1988): 1 is exact, 0 no better than the reference, below 0 worse. References are

- staying put: the last kept snapshot;
- the secant: the line through the last two kept snapshots, over the real steps;
- the ray: the line from the base through the last kept snapshot, over the real steps.

The line of a fit does not go through the last kept snapshot: it leaves out what lies beside the
directions. So a fourth skill tells how the same line does when it starts at that snapshot, as
predictions with the anchor `newest` do.

Predictions and references are sums of displacements, so every SSE is a quadratic form in the Gram
matrix. For many tensors SSEs are added before they are divided.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from relex.extrapolation.line_fit import Line, fit_line
from relex.extrapolation.method import Weights, point
from relex.extrapolation.methods.anchored import anchored
from relex.extrapolation.methods.line import line
from relex.extrapolation.methods.scaled_newest import scaled_newest
from relex.extrapolation.methods.secant import secant
from relex.extrapolation.movement import Movement
from relex.extrapolation.subspace import Array, leading_subspace
from relex.strict import Strict

FEWEST_STEPS = 3


class ForecastSkill(Strict):
    """Skill on the held-out steps; each None where none were held out or its reference is exact."""

    over_staying: float | None
    """Against the last kept snapshot."""

    over_secant: float | None
    """Against the line through the last two kept snapshots."""

    over_ray: float | None
    """Against the line from the base through the last kept snapshot."""

    newest_over_staying: float | None
    """As `over_staying`, for the line moved to start at the last kept snapshot."""


@dataclass(frozen=True)
class SquaredErrors:
    """Sums over the held-out steps; a reference's is None where it drowns in rounding."""

    prediction: float
    newest: float
    staying: float | None
    secant: float | None
    ray: float | None


@dataclass(frozen=True)
class HeldOut:
    """The forecast along the first direction of the kept steps."""

    num_kept: int
    """Steps that direction and line were fitted to."""

    coefficients: tuple[float, ...]
    """What every snapshot of the window has along the direction, the held-out ones too."""

    line: Line
    """Fitted to the coefficients of the kept steps."""


def num_held_out(num_steps: int) -> int:
    """Steps held out at the end of a window; none where no two would be left for a line."""
    return max(num_steps // 4, 1) if num_steps >= FEWEST_STEPS else 0


def squared_errors(movement: Movement, steps: Sequence[int], rank: int) -> SquaredErrors | None:
    """Errors of the prediction and of its references; None without steps to hold out."""
    num_kept = len(steps) - num_held_out(len(steps))
    if num_kept == len(steps):
        return None
    kept_SS, rank = movement.gram_SS[:num_kept, :num_kept], min(rank, num_kept)

    def errors(weights: Weights) -> Array:
        """At every held-out step what a method of the kept ones says, less what was observed."""
        said_HS = np.stack([weights(kept_SS, steps[:num_kept], step) for step in steps[num_kept:]])
        num_held = len(steps) - num_kept
        return np.pad(said_HS, ((0, 0), (0, num_held))) - np.eye(len(steps))[num_kept:]

    return SquaredErrors(
        prediction=movement.square(errors(partial(line, rank=rank))),
        newest=movement.square(errors(partial(anchored, rank=rank))),
        staying=movement.known_square(errors(lambda _, kept, __: point(kept, -1))),
        secant=movement.known_square(errors(partial(secant, gap=1))),
        ray=movement.known_square(errors(scaled_newest)),
    )


def skill(errors: Collection[SquaredErrors]) -> ForecastSkill:
    """The skill of the tensors together."""
    prediction = sum(error.prediction for error in errors)
    newest = sum(error.newest for error in errors)
    staying = [error.staying for error in errors]
    return ForecastSkill(
        over_staying=_over(staying, prediction),
        over_secant=_over([error.secant for error in errors], prediction),
        over_ray=_over([error.ray for error in errors], prediction),
        newest_over_staying=_over(staying, newest),
    )


def _over(references: Collection[float | None], prediction: float) -> float | None:
    known = sum(square for square in references if square is not None)
    return 1.0 - prediction / known if known else None


def hold_out(movement: Movement, steps: Sequence[int]) -> HeldOut | None:
    """The forecast along the first direction; None where the kept steps did not move."""
    num_kept = len(steps) - num_held_out(len(steps))
    subspace = leading_subspace(torch.from_numpy(movement.gram_SS[:num_kept, :num_kept]), 1)
    if not len(subspace.sigma_R):
        return None
    left_K = (subspace.left_SR[:, 0] / subspace.sigma_R[0]).numpy()
    coefficient_S = left_K @ movement.gram_SS[:num_kept]
    line = fit_line(steps[:num_kept], torch.from_numpy(coefficient_S[:num_kept]))
    return HeldOut(num_kept, tuple(coefficient_S.tolist()), line)

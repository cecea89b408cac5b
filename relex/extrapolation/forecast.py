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

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch

from relex.config.strict import Strict
from relex.extrapolation.line_fit import Line, fit_line
from relex.extrapolation.movement import Array, Axis, Movement
from relex.extrapolation.polynomial import polynomial_weights
from relex.extrapolation.subspace import leading_subspace

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


def squared_errors(movement: Movement, axis: Axis, rank: int) -> SquaredErrors | None:
    """Errors of the prediction and of its references; None without steps to hold out."""
    num_steps = len(axis.steps)
    num_kept = num_steps - num_held_out(num_steps)
    if num_kept == num_steps:
        return None
    observed_HS = np.eye(num_steps)[num_kept:]
    # A line through two points and the ray depend on real steps, whatever the fit counts.
    beyond_H = np.array(axis.steps[num_kept:]) - axis.steps[num_kept - 1]
    last_S, before_S = np.eye(num_steps)[num_kept - 1], np.eye(num_steps)[num_kept - 2]
    secant_S = (last_S - before_S) / (axis.steps[num_kept - 1] - axis.steps[num_kept - 2])
    predicted_HS, predicted_last_S = np.split(_predicted(movement, axis, rank, num_kept), [-1])
    return SquaredErrors(
        prediction=movement.square(predicted_HS - observed_HS),
        newest=movement.square(predicted_HS - predicted_last_S + last_S - observed_HS),
        staying=movement.known_square(last_S - observed_HS),
        secant=movement.known_square(last_S + np.outer(beyond_H, secant_S) - observed_HS),
        ray=movement.known_square(
            last_S + np.outer(beyond_H / axis.steps[num_kept - 1], last_S) - observed_HS
        ),
    )


def _predicted(movement: Movement, axis: Axis, rank: int, num_kept: int) -> Array:
    """Predictions at the held-out steps, then at the last kept one, as sums: (H + 1) x S."""
    kept_KK = torch.from_numpy(movement.gram_SS[:num_kept, :num_kept])
    left_KR = leading_subspace(kept_KK, rank).left_SR.numpy()
    kept = axis.positions[:num_kept]
    ends = [*axis.positions[num_kept:], kept[-1]]
    line_XK = np.stack([polynomial_weights(kept, 1, at) for at in ends])
    return np.pad(line_XK @ left_KR @ left_KR.T, ((0, 0), (0, len(axis.steps) - num_kept)))


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


def hold_out(movement: Movement, axis: Axis) -> HeldOut | None:
    """The forecast along the first direction; None where the kept steps did not move."""
    num_kept = len(axis.steps) - num_held_out(len(axis.steps))
    subspace = leading_subspace(torch.from_numpy(movement.gram_SS[:num_kept, :num_kept]), 1)
    if not len(subspace.sigma_R):
        return None
    left_K = (subspace.left_SR[:, 0] / subspace.sigma_R[0]).numpy()
    coefficient_S = left_K @ movement.gram_SS[:num_kept]
    line = fit_line(axis.positions[:num_kept], torch.from_numpy(coefficient_S[:num_kept]))
    return HeldOut(num_kept, tuple(coefficient_S.tolist()), line)

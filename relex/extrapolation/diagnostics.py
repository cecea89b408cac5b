"""What a fit says about its window, and what of it is to be believed.

Explained fraction and R2 describe the window. They are high for every trajectory that goes away
from the base, even a random walk, so beside them stand numbers that can be low: how well the first
part of the window predicts the rest, and whether the weights keep their direction. All of them come
from the Gram matrices in the factors; no weights are read.

S steps, R directions.
"""

from collections.abc import Collection, Sequence

import numpy as np
import torch

from relex.config.strict import Strict
from relex.extrapolation.anomalies import Anomaly, find_anomalies
from relex.extrapolation.direction import half_cosine, persistence
from relex.extrapolation.factors import FactorsTable, TensorFit
from relex.extrapolation.fit import describe_tensor
from relex.extrapolation.forecast import ForecastSkill, num_held_out, skill, squared_errors
from relex.extrapolation.movement import Axis, Movement, joint_movement, movement_of
from relex.extrapolation.subspace import leading_subspace

DEFAULT_MULTIPLES = (2, 4, 10)
"""Targets that are described unless others are given, in lengths of the window."""


class Quality(Strict):
    """Fit inside the window, of one tensor or of many. It does not measure forecasts."""

    explained_fraction: float | None
    """Share of the squared displacement along the directions; None where nothing moved."""

    r2: float | None
    """1 - residual / total squares of the coefficients; None where they do not vary."""


class Diagnosis(Quality):
    """All numbers of one tensor, or of the model; None is what cannot be known."""

    forecast_skill: ForecastSkill
    """On the last steps of the window, predicted from the others."""

    half_cosine: float | None
    """Between the directions of the first and the second half of the window."""

    persistence: float | None
    """Mean cosine of consecutive updates."""

    predicted_size: dict[int, float | None]
    """By target: length of the predicted displacement over that of the last observed one."""


class Diagnostics(Strict):
    """The diagnoses of all tensors and of the model."""

    steps: tuple[int, ...]
    """Steps that the lines were fitted on."""

    rank: int
    """Most directions of a tensor."""

    held_out_steps: tuple[int, ...]
    """Steps that the forecast skill was measured on."""

    num_still: int
    """Tensors that never moved."""

    overall: Diagnosis
    """The model. Sums of squares are added over the tensors before they are divided; for angles
    the model is one vector, so inner products are added."""

    random_walk: Quality
    """What a random walk of very many weights over the same steps would show (rank as fitted)."""

    anomalies: tuple[Anomaly, ...]
    """What is wrong with the trajectory, by step."""

    tensors: dict[str, Diagnosis]
    """By name."""


def quality(fits: Collection[TensorFit]) -> Quality:
    """The quality of the tensors together: sums of squares are added before they are divided."""
    lines = [direction.line for fit in fits for direction in fit.directions]
    residual_squares = sum(line.residual_squares for line in lines)
    total_squares = sum(line.total_squares for line in lines)
    explained = sum(direction.sigma**2 for fit in fits for direction in fit.directions)
    squared_norm = sum(fit.squared_norm for fit in fits)
    return Quality(
        explained_fraction=min(explained / squared_norm, 1.0) if squared_norm else None,
        r2=1.0 - residual_squares / total_squares if total_squares else None,
    )


def diagnose(table: FactorsTable, targets: Sequence[int] = ()) -> Diagnostics:
    """All numbers for every tensor and the model; predicted sizes at `targets`.

    Targets are steps beyond the window, by default 2, 4 and 10 times its last step.
    """
    targets = targets or [table.steps[-1] * multiple for multiple in DEFAULT_MULTIPLES]
    axis = axis_of(table)
    movements = {name: movement_of(fit) for name, fit in table.tensors.items()}
    num_held = num_held_out(len(table.steps))
    return Diagnostics(
        steps=table.steps,
        rank=table.rank,
        held_out_steps=table.steps[len(table.steps) - num_held :],
        num_still=sum(not fit.directions for fit in table.tensors.values()),
        overall=_diagnosis(
            table,
            list(table.tensors.values()),
            list(movements.values()),
            joint_movement(movements.values(), len(table.steps)),
            targets,
        ),
        random_walk=random_walk_quality(axis, table.rank),
        anomalies=find_anomalies(list(movements.values()), axis.steps),
        tensors={
            name: _diagnosis(table, [fit], [movements[name]], movements[name], targets)
            for name, fit in table.tensors.items()
        },
    )


def axis_of(table: FactorsTable) -> Axis:
    return Axis(table.steps, tuple(table.positions))


def whole_model(table: FactorsTable) -> TensorFit:
    """Direction, coefficients and line of the model as one vector: Gram matrices are added."""
    movement = joint_movement([movement_of(f) for f in table.tensors.values()], len(table.steps))
    return _fit_of(axis_of(table), movement.gram_SS, table.rank)


def random_walk_quality(axis: Axis, rank: int) -> Quality:
    """The quality for independent steps in very many dimensions.

    Displacements at steps s and t then have an inner product in proportion to min(s, t).
    """
    return quality([_fit_of(axis, np.minimum.outer(axis.steps, axis.steps), rank)])


def _fit_of(axis: Axis, gram_SS: np.ndarray, rank: int) -> TensorFit:
    gram = torch.from_numpy(gram_SS).double()
    return describe_tensor(axis.positions, leading_subspace(gram, rank), gram)


def _diagnosis(
    table: FactorsTable,
    fits: Collection[TensorFit],
    movements: Collection[Movement],
    joint: Movement,
    targets: Sequence[int],
) -> Diagnosis:
    axis = axis_of(table)
    errors = [squared_errors(movement, axis, table.rank) for movement in movements]
    inside = quality(fits)
    return Diagnosis(
        explained_fraction=inside.explained_fraction,
        r2=inside.r2,
        forecast_skill=skill([error for error in errors if error is not None]),
        half_cosine=half_cosine(joint, axis),
        persistence=persistence(joint),
        predicted_size={target: _size(table, fits, joint, target) for target in targets},
    )


def _size(
    table: FactorsTable, fits: Collection[TensorFit], joint: Movement, target: int
) -> float | None:
    """Directions are unit vectors at right angles, so the squares of the coefficients add up."""
    lines = [direction.line for fit in fits for direction in fit.directions]
    square = sum(line.at(table.position(target)) ** 2 for line in lines)
    observed = joint.gram_SS[-1, -1]
    return float((square / observed) ** 0.5) if observed else None

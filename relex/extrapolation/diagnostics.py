"""What a fit says about its window, and what of it is to be believed.

Explained fraction and R2 describe the window. They are high for every trajectory that goes away
from the base, even a random walk, so beside them stand numbers that can be low: how well the first
part of the window predicts the rest, and whether the weights keep their direction. All of them come
from the Gram matrices in the factors; no weights are read.

S steps, R directions.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
import torch

from relex.extrapolation.anomalies import Anomaly, find_anomalies
from relex.extrapolation.direction import half_cosine, persistence
from relex.extrapolation.factors import FactorsTable, TensorFit
from relex.extrapolation.fit_table import describe_tensor
from relex.extrapolation.forecast import (
    ForecastSkill,
    HeldOut,
    hold_out,
    num_held_out,
    skill,
    squared_errors,
)
from relex.extrapolation.movement import Movement, joint_movement, movement_of
from relex.extrapolation.predict import LINE
from relex.extrapolation.settling import Look, last_looks
from relex.extrapolation.subspace import Array, leading_subspace
from relex.strict import Strict

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

    movement_fraction: float | None
    """Share of the model's squared displacement at the last step."""

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

    looks: tuple[Look, ...]
    """The last looks at the growing window: whether it is settled."""

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

    Targets are steps beyond the window, by default 2, 4 and 10 times its last step; raises
    FactorsError when one is not.
    """
    targets = targets or [table.steps[-1] * multiple for multiple in DEFAULT_MULTIPLES]
    for target in targets:
        LINE.check_target("predicted size", table.steps, target)
    diagnoser = _Diagnoser(table, targets)
    return Diagnostics(
        steps=table.steps,
        rank=table.rank,
        held_out_steps=table.steps[len(table.steps) - num_held_out(len(table.steps)) :],
        num_still=sum(not fit.directions for fit in table.tensors.values()),
        overall=diagnoser.diagnose(table.tensors, diagnoser.model),
        random_walk=random_walk_quality(table.steps, table.rank),
        anomalies=find_anomalies(list(diagnoser.movements.values()), table.steps),
        looks=last_looks(
            {name: movement.gram_SS for name, movement in diagnoser.movements.items()}, table.steps
        ),
        tensors={
            name: diagnoser.diagnose([name], movement)
            for name, movement in diagnoser.movements.items()
        },
    )


def anomalies_of(table: FactorsTable) -> tuple[Anomaly, ...]:
    """What is wrong with the trajectory, without the other numbers."""
    return find_anomalies([movement_of(fit.gram_SS) for fit in table.tensors.values()], table.steps)


def hold_out_last(table: FactorsTable, names: Collection[str]) -> HeldOut | None:
    """The forecast of the held-out steps for the tensors `names` as one vector.

    None where they did not move before.
    """
    movements = [movement_of(table.tensors[name].gram_SS) for name in names]
    return hold_out(joint_movement(movements, len(table.steps)), table.steps)


def random_walk_gram(steps: Sequence[int]) -> Array:
    """Gram matrix of a random walk in very many dimensions, whose steps are independent.

    Displacements at steps s and t have an inner product in proportion to min(s, t).
    """
    return np.minimum.outer(steps, steps).astype(np.float64)


def random_walk_quality(steps: Sequence[int], rank: int) -> Quality:
    """The quality that the fit of a random walk has."""
    gram_SS = torch.from_numpy(random_walk_gram(steps))
    return quality([describe_tensor(steps, leading_subspace(gram_SS, rank), gram_SS)])


class _Diagnoser:
    """What the diagnoses of one fit have in common."""

    def __init__(self, table: FactorsTable, targets: Sequence[int]) -> None:
        self._table, self._targets = table, targets
        self.movements = {name: movement_of(fit.gram_SS) for name, fit in table.tensors.items()}
        self.model = joint_movement(self.movements.values(), len(table.steps))
        self._errors = {
            name: squared_errors(movement, table.steps, table.rank)
            for name, movement in self.movements.items()
        }

    def diagnose(self, names: Collection[str], movement: Movement) -> Diagnosis:
        """The tensors `names` together, which move as one vector by `movement`."""
        fits = [self._table.tensors[name] for name in names]
        errors = [self._errors[name] for name in names]
        inside = quality(fits)
        moved, of_model = movement.gram_SS[-1, -1], self.model.gram_SS[-1, -1]
        return Diagnosis(
            explained_fraction=inside.explained_fraction,
            r2=inside.r2,
            forecast_skill=skill([error for error in errors if error is not None]),
            half_cosine=half_cosine(movement, self._table.steps),
            movement_fraction=float(moved / of_model) if of_model else None,
            persistence=persistence(movement),
            predicted_size={
                target: math.sqrt(self._predicted_square(fits, target) / moved) if moved else None
                for target in self._targets
            },
        )

    def _predicted_square(self, fits: Collection[TensorFit], target: int) -> float:
        """Directions are unit vectors at right angles, so the squares of the coefficients add."""
        lines = [direction.line for fit in fits for direction in fit.directions]
        return sum(line.at(target) ** 2 for line in lines)

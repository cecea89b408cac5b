"""Methods that the study tries and the product does not have: `tried:NAME` names them.

S steps of the window. Their signature is that of `relex/extrapolation/method.py`.
"""

from collections.abc import Sequence

import numpy as np

from relex.extrapolation.direction import half_cosine
from relex.extrapolation.forecast import num_held_out
from relex.extrapolation.method import point
from relex.extrapolation.methods.line import line
from relex.extrapolation.methods.secant import secant
from relex.extrapolation.movement import GRAM_ROUNDING, Movement
from relex.extrapolation.subspace import Array, leading_vectors


def quadratic(gram_SS: Array, steps: Sequence[int], target: int) -> Array:
    """The coefficients along the first direction on their least-squares parabola at `target`."""
    left_SR = leading_vectors(gram_SS, 1)
    powers = np.vander(np.asarray(steps, dtype=np.float64), 3)
    at_target = np.vander(np.array([float(target)]), 3)
    value_S: Array = (at_target @ np.linalg.pinv(powers))[0]
    return left_SR @ (left_SR.T @ value_S)


def trusted(gram_SS: Array, steps: Sequence[int], target: int, *, power: float = 1.0) -> Array:
    """The secant, its way beyond the window times a power of the cosine of the halves."""
    newest_S = point(steps, -1)
    trust = half_trust(gram_SS, steps) ** power
    return newest_S + trust * (secant(gram_SS, steps, target) - newest_S)


def trusted_line(gram_SS: Array, steps: Sequence[int], target: int, *, power: float = 1.0) -> Array:
    """The paper's line, its way beyond the window times a power of the cosine of the halves."""
    last_S = line(gram_SS, steps, steps[-1])
    trust = half_trust(gram_SS, steps) ** power
    return last_S + trust * (line(gram_SS, steps, target) - last_S)


def skilled(gram_SS: Array, steps: Sequence[int], target: int, *, power: float = 1.0) -> Array:
    """The secant, its way beyond the window times a power of its skill on held-out steps."""
    newest_S = point(steps, -1)
    trust = held_out_skill(gram_SS, steps) ** power
    return newest_S + trust * (secant(gram_SS, steps, target) - newest_S)


def averaged(gram_SS: Array, steps: Sequence[int], target: int, *, newest: int = 5) -> Array:
    """On from the mean of the newest snapshots, which is at their mean step, as the secant goes."""
    mean_S = np.zeros(len(steps))
    mean_S[-newest:] = 1 / newest
    velocity_S = secant(gram_SS, steps, steps[-1] + 1) - point(steps, -1)
    return mean_S + (target - float(np.mean(steps[-newest:]))) * velocity_S


def half_trust(gram_SS: Array, steps: Sequence[int]) -> float:
    """The cosine of the halves of a tensor's motion; 0 where it is not known or negative."""
    norm_S = np.sqrt(gram_SS.diagonal())
    movement = Movement(gram_SS, GRAM_ROUNDING * np.outer(norm_S, norm_S))
    return max(half_cosine(movement, steps) or 0.0, 0.0)


def held_out_skill(gram_SS: Array, steps: Sequence[int]) -> float:
    """1 - SSE(secant) / SSE(staying) over the held-out steps of one tensor; at least 0."""
    num_kept = len(steps) - num_held_out(len(steps))
    kept_SS, kept = gram_SS[:num_kept, :num_kept], steps[:num_kept]
    errors = {"secant": 0.0, "staying": 0.0}
    for row in range(num_kept, len(steps)):
        said = {"secant": secant(kept_SS, kept, steps[row]), "staying": point(kept, -1)}
        for name, weight_S in said.items():
            miss_S = np.pad(weight_S, (0, len(steps) - num_kept)) - point(steps, row)
            errors[name] += float(miss_S @ gram_SS @ miss_S)
    return max(1 - errors["secant"] / errors["staying"], 0.0) if errors["staying"] > 0 else 0.0

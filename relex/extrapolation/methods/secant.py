"""The secant: on from the newest snapshot with the velocity of the last steps."""

from collections.abc import Sequence

from relex.extrapolation.method import point
from relex.extrapolation.subspace import Array


def secant(gram_SS: Array, steps: Sequence[int], target: int, *, gap: int = 0) -> Array:
    """D[T] + (target - T) (D[T] - D[g]) / (T - g): the line through two snapshots.

    g is the latest step that lies at least `gap` steps before the newest one, T; with gap 0 a third
    of T, so that single steps, noisy or rounded, do not decide. Where the window is shorter than
    that, g is 0, the base, whose displacement is zero. Linear extrapolation of the weights, as in
    W. Press et al., Numerical Recipes, 3.1.
    """
    last = steps[-1]
    least = gap or last / 3
    earlier = [row for row, step in enumerate(steps[:-1]) if last - step >= least]
    before_S = point(steps, earlier[-1]) if earlier else 0 * point(steps, -1)
    before = steps[earlier[-1]] if earlier else 0
    newest_S = point(steps, -1)
    return newest_S + (target - last) / (last - before) * (newest_S - before_S)

"""What a fit keeps of a tensor's displacements, so that any method in use is a few coefficients.

S steps, B vectors of the basis.

A method's displacement is a weighted sum of the S displacements, and so is every vector of the
basis: its weights are a row. The rows are

- the leading directions;
- single snapshots, a 1 in a row of zeros: those of which a method takes one or two by themselves,
  such as the newest one. They keep their own digits, and what starts at one starts at its weights;
- dense sums, for what else a method needs; none of ours does at rank 1.

A method is asked for its weights at the newest step and, less these, at some targets beyond it. So
all methods whose weights go with the target as a line, or as a polynomial up to the third degree,
lie in the basis at every target.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from relex.extrapolation.method import Method
from relex.extrapolation.subspace import Array

TARGET_MULTIPLES = (2, 4, 8)
"""Targets that methods are asked at, in lengths of the window."""

MOST_SNAPSHOTS = 2
"""Where a method's weights touch at most so many snapshots, these are kept by themselves."""

SAME = 1e-9
"""Weights that differ by less than this share of the largest are the same: float32 sees 6e-8."""


@dataclass(frozen=True)
class Coefficients:
    """A sum of vectors of the basis: numbers of vectors, each with its factor."""

    of_sums: tuple[tuple[int, float], ...]
    """Of the directions and dense sums."""

    of_snapshots: tuple[tuple[int, float], ...]
    """Of the single snapshots."""

    @property
    def factors(self) -> list[float]:
        return [factor for _, factor in (*self.of_sums, *self.of_snapshots)]

    @property
    def is_snapshot(self) -> bool:
        """Whether it is a single snapshot as it was."""
        return not self.of_sums and len(self.of_snapshots) == 1 and self.factors == [1.0]


NOTHING = Coefficients((), ())


@dataclass(frozen=True)
class Basis:
    """The rows of a tensor's basis."""

    direction_RS: Array
    dense_ES: Array
    snapshots: tuple[int, ...]
    """Where in the window the single snapshots are."""

    @property
    def sum_BS(self) -> Array:
        """Weights of the directions, then of the dense sums."""
        return np.concatenate([self.direction_RS, self.dense_ES])

    def solve(self, weight_S: Array) -> Coefficients | None:
        """The sum of vectors that has these weights; None where the basis does not hold it.

        Of the directions alone where they will do, then without them, then with as few others as
        will do: short windows have more than one answer.
        """
        num_sums = len(self.sum_BS)
        row_BS = np.concatenate([self.sum_BS, np.eye(len(weight_S))[list(self.snapshots)]])
        for chosen in self._attempts():
            found_B = _solve(row_BS[chosen], weight_S)
            if found_B is not None:
                found = [(at, float(x)) for at, x in zip(chosen, found_B, strict=True) if x]
                return Coefficients(
                    tuple((at, x) for at, x in found if at < num_sums),
                    tuple((at - num_sums, x) for at, x in found if at >= num_sums),
                )
        return None

    def _attempts(self) -> Iterator[list[int]]:
        """Numbers of the vectors to try together."""
        num_directions = len(self.direction_RS)
        directions = list(range(num_directions))
        others = range(num_directions, len(self.sum_BS) + len(self.snapshots))
        yield directions
        yield list(others)
        for number in range(1, len(others) + 1):
            for some in combinations(others, number):
                yield [*directions, *some]


def build_basis(
    gram_SS: Array, steps: Sequence[int], direction_RS: Array, methods: Collection[Method]
) -> Basis:
    """The directions, and what `methods` need beside them."""
    basis = Basis(direction_RS, np.zeros((0, len(steps))), ())
    for weight_S in (row for method in methods for row in _asked(method, gram_SS, steps)):
        size_S = np.abs(weight_S)
        touched = np.flatnonzero(size_S > SAME * size_S.max()).tolist()
        if len(touched) <= MOST_SNAPSHOTS:
            snapshots = tuple(sorted({*basis.snapshots, *touched}))
            basis = Basis(direction_RS, basis.dense_ES, snapshots)
        elif basis.solve(weight_S) is None:
            dense_ES = np.vstack([basis.dense_ES, weight_S / size_S.max()])
            basis = Basis(direction_RS, dense_ES, basis.snapshots)
    return basis


def _asked(method: Method, gram_SS: Array, steps: Sequence[int]) -> Iterator[Array]:
    """Weights that span those of a method."""
    if method.is_inside:
        yield from (method.weights(gram_SS, steps, step) for step in (steps[0], steps[-1]))
        return
    newest_S = method.weights(gram_SS, steps, steps[-1])
    yield newest_S
    for multiple in TARGET_MULTIPLES:
        yield method.weights(gram_SS, steps, multiple * steps[-1]) - newest_S


def _solve(row_BS: Array, weight_S: Array) -> Array | None:
    """Factors of the rows in the sum that gives the weights, or None; noise among them is zero."""
    factor_B = np.asarray(np.linalg.lstsq(row_BS.T, weight_S, rcond=None)[0], np.float64)
    size_B = np.abs(factor_B) * np.abs(row_BS).max(axis=1, initial=0.0)
    factor_B[size_B <= SAME * size_B.max(initial=0.0)] = 0.0
    error_S = np.abs(factor_B @ row_BS - weight_S)
    return factor_B if error_S.max() <= SAME * np.abs(weight_S).max() else None

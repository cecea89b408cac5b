"""Any method in use is a few coefficients on what a fit keeps.

S steps, R directions.
"""

import numpy as np
import pytest
import torch

from relex.extrapolation import BUILT_IN, find_methods
from relex.extrapolation.basis import Basis, build_basis
from relex.extrapolation.method import Method
from relex.extrapolation.subspace import leading_subspace

WINDOWS = [(1, 2), (1, 1000), (1, 2, 3), (2, 4, 7, 8, 15), tuple(range(5, 61, 5))]


def gram_of(steps, seed=0):
    generator = np.random.default_rng(seed)
    noise_SN = generator.normal(size=(len(steps), 50)).cumsum(0)
    displacement_SN = np.outer(steps, generator.normal(size=50)) + 3 * noise_SN
    return displacement_SN @ displacement_SN.T


def basis_of(gram_SS, steps, methods, rank=1) -> Basis:
    found = leading_subspace(torch.from_numpy(gram_SS), rank)
    return build_basis(gram_SS, steps, (found.left_SR / found.sigma_R).T.numpy(), methods)


def sum_of(basis: Basis, weight_S) -> np.ndarray | None:
    """The weights that the coefficients of some weights give."""
    found = basis.solve(weight_S)
    if found is None:
        return None
    total_S = np.zeros(len(weight_S))
    for row, factor in found.of_sums:
        total_S += factor * basis.sum_BS[row]
    for row, factor in found.of_snapshots:
        total_S[basis.snapshots[row]] += factor
    return total_S


@pytest.mark.parametrize("steps", WINDOWS, ids=str)
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_every_method_of_ours_lies_in_the_basis_at_any_target(steps, rank, seed) -> None:
    gram_SS, methods = gram_of(steps, seed), find_methods([*BUILT_IN, "secant-gap3"])
    basis = basis_of(gram_SS, steps, methods, rank)
    assert len(basis.dense_ES) == 0
    for method in methods:
        for target in steps if method.is_inside else (steps[-1] + 1, 7 * steps[-1], 10_000):
            weight_S = method.weights(gram_SS, steps, target)
            np.testing.assert_allclose(
                sum_of(basis, weight_S), weight_S, atol=1e-8 * np.abs(weight_S).max()
            )


@pytest.mark.parametrize(
    ("texts", "steps"),
    [
        (["line", "shrunk", "denoised"], ()),
        (["scaled_first"], (2,)),
        (["scaled_newest", "anchored"], (15,)),
        (["secant"], (8, 15)),
        (["secant-gap8"], (7, 15)),
        (["secant-gap50"], (15,)),
        (BUILT_IN, (2, 8, 15)),
    ],
)
def test_only_snapshots_that_a_method_takes_are_kept(texts, steps) -> None:
    window = (2, 4, 7, 8, 15)
    basis = basis_of(gram_of(window), window, find_methods(texts))
    assert tuple(window[row] for row in basis.snapshots) == steps


def test_directions_and_snapshots_have_coefficients_without_noise() -> None:
    """A line needs no snapshot and a secant no direction, however short the window is."""
    for steps in WINDOWS:
        gram_SS, methods = gram_of(steps), find_methods(BUILT_IN)
        basis = basis_of(gram_SS, steps, methods)
        kinds = {}
        for method in methods:
            found = basis.solve(
                method.weights(gram_SS, steps, steps[-1] if method.is_inside else 99)
            )
            kinds[method.text] = len(found.of_sums), len(found.of_snapshots)
        assert kinds["line"] == kinds["shrunk"] == kinds["denoised"] == (1, 0)
        assert kinds["scaled_first"] == kinds["scaled_newest"] == (0, 1)
        assert kinds["secant"] == (0, 2)
        # In a window of two or three steps, the snapshots that are kept span everything.
        assert len(steps) <= 3 or kinds["anchored"] == (1, 1)


def average(gram_SS, steps, target):
    """On from the newest snapshot with an average of all velocities: dense, and of a user's own."""
    weight_S = np.linspace(-1, 1, len(steps)) * (target - steps[-1]) / len(steps)
    weight_S[-1] += 1
    return weight_S


def curve(gram_SS, steps, target):
    """The least-squares parabola of every weight."""
    at = np.linalg.pinv(np.vander(np.array(steps) / steps[-1], 3))
    return np.array([(target / steps[-1]) ** 2, target / steps[-1], 1]) @ at


@pytest.mark.parametrize(("function", "num_dense"), [(average, 1), (curve, 3)])
def test_a_method_of_a_user_s_own_adds_what_it_needs(function, num_dense) -> None:
    steps = tuple(range(1, 9))
    gram_SS, own = gram_of(steps), Method("own", False, function)
    weight_S = own.weights(gram_SS, steps, 300)
    without = basis_of(gram_SS, steps, find_methods(BUILT_IN))
    assert without.solve(weight_S) is None
    basis = basis_of(gram_SS, steps, [*find_methods(BUILT_IN), own])
    assert len(basis.dense_ES) == num_dense
    np.testing.assert_allclose(sum_of(basis, weight_S), weight_S, rtol=1e-6)


def test_a_method_that_goes_nowhere_is_the_base() -> None:
    steps = (1, 2, 3)
    nowhere = Method("nowhere", False, lambda gram_SS, steps, target: np.zeros(len(steps)))
    basis = basis_of(gram_of(steps), steps, [nowhere])
    assert basis.solve(np.zeros(3)).factors == []

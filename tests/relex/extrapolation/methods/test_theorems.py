"""What must hold of the weights of every method, whatever the weights of a model do.

S steps, N elements, R directions.
"""

import numpy as np
import pytest

from relex.extrapolation import BUILT_IN, find_method
from relex.extrapolation.method import point
from relex.extrapolation.methods.line import line_weights

WINDOWS = [(1, 2), (3, 10), (1, 2, 3), (2, 4, 7, 8, 15), tuple(range(5, 61, 5))]
BEYOND = [name for name in BUILT_IN if name != "denoised"]
TO_THE_LINE = [name for name in BEYOND if name != "shrunk"]
steps_of = pytest.mark.parametrize("steps", WINDOWS, ids=str)


def random_gram(steps, seed=0):
    generator = np.random.default_rng(seed)
    drift_N, noise_SN = generator.normal(size=200), generator.normal(size=(len(steps), 200))
    displacement_SN = np.outer(steps, drift_N) + 3 * noise_SN.cumsum(0)
    return displacement_SN @ displacement_SN.T, displacement_SN


@steps_of
@pytest.mark.parametrize("name", TO_THE_LINE)
def test_a_planted_line_from_the_base_is_followed_exactly(name, steps) -> None:
    gram_SS = np.outer(steps, steps).astype(float)
    for target in (steps[-1] + 1, 10 * steps[-1]):
        weight_S = find_method(name).weights(gram_SS, steps, target)
        assert weight_S @ np.array(steps) == pytest.approx(target)


@steps_of
@pytest.mark.parametrize("name", ["line", "anchored", "secant"])
def test_a_planted_line_beside_the_base_is_followed_exactly(name, steps) -> None:
    coefficient_S = 7 + 0.5 * np.array(steps)
    weight_S = find_method(name).weights(np.outer(coefficient_S, coefficient_S), steps, 200)
    assert weight_S @ coefficient_S == pytest.approx(7 + 0.5 * 200)


@steps_of
@pytest.mark.parametrize("name", BEYOND)
def test_the_unit_of_the_steps_does_not_matter(name, steps) -> None:
    gram_SS, _ = random_gram(steps)
    method, thrice = find_method(name), tuple(3 * step for step in steps)
    found = method.weights(gram_SS, thrice, 3 * 200)
    np.testing.assert_allclose(found, method.weights(gram_SS, steps, 200), atol=1e-9)


@steps_of
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_unit_of_the_weights_does_not_matter(name, steps) -> None:
    gram_SS, _ = random_gram(steps)
    method, target = find_method(name), steps[-1]
    found = method.weights(1e-12 * gram_SS, steps, target)
    np.testing.assert_allclose(found, method.weights(gram_SS, steps, target), atol=1e-9)


@steps_of
@pytest.mark.parametrize("name", BEYOND)
def test_weights_go_with_the_target_as_a_line(name, steps) -> None:
    gram_SS, _ = random_gram(steps)
    near_S, middle_S, far_S = (find_method(name).weights(gram_SS, steps, t) for t in (70, 110, 150))
    np.testing.assert_allclose(middle_S, (near_S + far_S) / 2, atol=1e-9)


@steps_of
def test_sum_rules(steps) -> None:
    """Of a line through values, and of the methods that start at a snapshot."""
    weight_S = line_weights(steps, 200)
    assert weight_S.sum() == pytest.approx(1)
    assert weight_S @ np.array(steps) == pytest.approx(200)
    gram_SS, _ = random_gram(steps)
    assert find_method("secant").weights(gram_SS, steps, 200).sum() == pytest.approx(1)
    for name in ("anchored", "secant", "scaled_newest"):
        at_end_S = find_method(name).weights(gram_SS, steps, steps[-1])
        assert np.array_equal(at_end_S, point(steps, -1))
    first_S = find_method("scaled_first").weights(gram_SS, steps, steps[0])
    assert np.array_equal(first_S, point(steps, 0))


@steps_of
def test_at_full_rank_the_line_is_that_of_every_weight_by_itself(steps) -> None:
    gram_SS, displacement_SN = random_gram(steps)
    weight_S = find_method(f"line-rank{len(steps)}").weights(gram_SS, steps, 200)
    expected_N = np.polyval(np.polyfit(steps, displacement_SN, 1), 200)
    found_N = weight_S @ displacement_SN
    assert np.linalg.norm(found_N - expected_N) <= 1e-9 * np.linalg.norm(expected_N)


@steps_of
@pytest.mark.parametrize("rank", [1, 2])
def test_the_line_is_that_of_a_singular_value_decomposition(steps, rank) -> None:
    gram_SS, displacement_SN = random_gram(steps)
    left_SR, sigma_R, right_RN = np.linalg.svd(displacement_SN, full_matrices=False)
    lines = np.polyfit(steps, left_SR[:, :rank] * sigma_R[:rank], 1)
    expected_N = np.polyval(lines, 200) @ right_RN[:rank]
    found_N = find_method(f"line-rank{rank}").weights(gram_SS, steps, 200) @ displacement_SN
    assert np.linalg.norm(found_N - expected_N) <= 1e-9 * np.linalg.norm(expected_N)


def test_planted_noise_is_left_out_of_a_denoised_snapshot() -> None:
    """Displacements s v + noise, the noise at right angles to all else, as in many dimensions."""
    steps = tuple(range(1, 31))
    gram_SS = np.outer(steps, steps) + 9.0 * np.eye(30)
    for step in (5, 15, 30):
        weight_S = find_method("denoised").weights(gram_SS, steps, step)
        assert weight_S @ np.array(steps) == pytest.approx(step, rel=0.01)
        assert 9.0 * weight_S @ weight_S < 0.2 * 9.0


def test_the_anchored_line_keeps_what_lies_beside_it() -> None:
    gram_SS, _ = random_gram((1, 2, 4, 8))
    line, anchored = (
        [find_method(name).weights(gram_SS, (1, 2, 4, 8), k) for k in (8, 50)]
        for name in ("line", "anchored")
    )
    newest_S = point((1, 2, 4, 8), -1)
    np.testing.assert_allclose(anchored[1] - newest_S, line[1] - line[0], atol=1e-12)


def test_shrinkage_is_a_factor_on_the_line() -> None:
    gram_SS, _ = random_gram((1, 2, 4))
    half_S = find_method("shrunk-factor0.5").weights(gram_SS, (1, 2, 4), 50)
    np.testing.assert_allclose(2 * half_S, find_method("line").weights(gram_SS, (1, 2, 4), 50))


@pytest.mark.parametrize(
    ("gap", "start"), [(0, 4), (1, 8), (2, 7), (5, 4), (6, 2), (9, 0), (100, 0)]
)
def test_a_secant_starts_at_the_latest_step_that_is_far_enough(gap, start) -> None:
    steps = (2, 4, 7, 8, 9)
    weight_S = find_method(f"secant-gap{gap}").weights(np.eye(5), steps, 20)
    expected = {9: 1 + 11 / (9 - start)} | ({start: -11 / (9 - start)} if start else {})
    np.testing.assert_allclose(weight_S, [expected.get(step, 0.0) for step in steps])

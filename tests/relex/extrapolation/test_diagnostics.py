"""Every number of the diagnostics, from Gram matrices, against dense numpy on the weights.

S steps, N elements.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relex.errors import FactorsError
from relex.extrapolation import (
    Diagnosis,
    Diagnostics,
    FactorsTable,
    diagnose,
    hold_out_last,
    quality,
)
from relex.extrapolation.fit_table import describe_tensor
from relex.extrapolation.movement import movement_of
from relex.extrapolation.subspace import leading_subspace

Array = np.ndarray


def table_of(tensors: Mapping[str, Array], steps: Sequence[int], rank: int = 1) -> FactorsTable:
    """The table that a fit of these displacements (S x N each) writes."""
    grams = {name: torch.from_numpy(d @ d.T) for name, d in tensors.items()}
    return FactorsTable(
        base_digest="base",
        steps=tuple(steps),
        rank=rank,
        tensors={
            name: describe_tensor(steps, leading_subspace(gram, rank), gram)
            for name, gram in grams.items()
        },
    )


def random_walk(seed: int, num_steps: int, num_elements: int, drift: float = 0.0) -> Array:
    random = np.random.default_rng(seed)
    towards = random.normal(size=num_elements)
    updates = random.normal(size=(num_steps, num_elements)) + drift * towards
    return np.cumsum(updates, axis=0)


@st.composite
def trajectories(draw) -> tuple[dict[str, Array], list[int], int]:
    """Tensors that drift and wander, at steps with gaps between them, and a rank."""
    num_steps = draw(st.integers(3, 14))
    gaps = draw(st.lists(st.integers(1, 6), min_size=num_steps, max_size=num_steps))
    tensors = {
        f"tensor-{number}": random_walk(
            draw(st.integers(0, 10_000)),
            num_steps,
            draw(st.integers(num_steps, 40)),
            draw(st.sampled_from([0.0, 0.3, 2.0])),
        )
        for number in range(draw(st.integers(1, 3)))
    }
    return tensors, np.cumsum(gaps).tolist(), draw(st.integers(1, 2))


def dense_line(steps: Sequence[int], value_SX: Array, at: Sequence[int]) -> Array:
    slope_X, intercept_X = np.polyfit(steps, value_SX, 1)
    return np.outer(at, slope_X) + intercept_X


def dense_errors(displacement_SN: Array, steps: Sequence[int], rank: int) -> dict[str, float]:
    """Sums of squared errors on the last quarter, with every vector written out."""
    num_kept = len(steps) - max(len(steps) // 4, 1)
    kept_KN, held_HN = displacement_SN[:num_kept], displacement_SN[num_kept:]
    kept, held = steps[:num_kept], steps[num_kept:]
    direction_RN = np.linalg.svd(kept_KN, full_matrices=False)[2][:rank]
    on_line = dense_line(kept, kept_KN @ direction_RN.T, [*held, kept[-1]]) @ direction_RN
    last_N = kept_KN[-1]
    slope_N = (last_N - kept_KN[-2]) / (kept[-1] - kept[-2])
    forecasts = {
        "line": on_line[:-1],
        "newest": on_line[:-1] - on_line[-1] + last_N,
        "staying": np.array([last_N for _ in held]),
        "secant": np.array([last_N + slope_N * (step - kept[-1]) for step in held]),
        "ray": np.array([last_N * step / kept[-1] for step in held]),
    }
    return {name: float(((f - held_HN) ** 2).sum()) for name, f in forecasts.items()}


def dense_half_cosine(displacement_SN: Array, steps: Sequence[int]) -> float:
    middle = min(range(len(steps) - 1), key=lambda row: abs(steps[row] - steps[-1] / 2))
    halves = (
        displacement_SN[: middle + 1],
        displacement_SN[middle + 1 :] - displacement_SN[middle],
    )
    directions = []
    for half in halves:
        direction_N = np.linalg.svd(half, full_matrices=False)[2][0]
        directions.append(direction_N * np.sign(direction_N @ half[-1]))
    return float(directions[0] @ directions[1])


def dense_persistence(displacement_SN: Array) -> float:
    update_SN = np.diff(displacement_SN, axis=0, prepend=0)
    length_S = np.linalg.norm(update_SN, axis=1)
    return float((update_SN[1:] * update_SN[:-1]).sum() / (length_S[1:] * length_S[:-1]).sum())


def dense_predicted_size(
    tensors: Mapping[str, Array], steps: Sequence[int], rank: int, target: int
) -> float:
    square = 0.0
    for displacement_SN in tensors.values():
        direction_RN = np.linalg.svd(displacement_SN, full_matrices=False)[2][:rank]
        square += (dense_line(steps, displacement_SN @ direction_RN.T, [target]) ** 2).sum()
    return float((square / sum((d[-1] ** 2).sum() for d in tensors.values())) ** 0.5)


def check_against_dense(
    found: Diagnosis, tensors: Mapping[str, Array], steps: Sequence[int], rank: int
) -> None:
    errors = [dense_errors(d, steps, rank) for d in tensors.values()]
    total = {name: sum(error[name] for error in errors) for name in errors[0]}
    joint_SN = np.concatenate(list(tensors.values()), axis=1)
    close = {"rel": 1e-6, "abs": 1e-6}
    skill = found.forecast_skill
    assert skill.over_staying == pytest.approx(1 - total["line"] / total["staying"], **close)
    assert skill.over_secant == pytest.approx(1 - total["line"] / total["secant"], **close)
    assert skill.over_ray == pytest.approx(1 - total["line"] / total["ray"], **close)
    assert skill.newest_over_staying == pytest.approx(
        1 - total["newest"] / total["staying"], **close
    )
    assert found.half_cosine == pytest.approx(dense_half_cosine(joint_SN, steps), **close)
    assert found.persistence == pytest.approx(dense_persistence(joint_SN), **close)
    assert found.predicted_size == {
        target: pytest.approx(dense_predicted_size(tensors, steps, rank, target), **close)
        for target in found.predicted_size
    }


@given(trajectories())
def test_every_number_is_that_of_the_weights_themselves(trajectory) -> None:
    tensors, steps, rank = trajectory
    found = diagnose(table_of(tensors, steps, rank), [2 * steps[-1], 1000])
    check_against_dense(found.overall, tensors, steps, rank)
    for name, displacement_SN in tensors.items():
        check_against_dense(found.tensors[name], {name: displacement_SN}, steps, rank)


@given(trajectories())
def test_the_held_out_coefficients_are_projections_on_the_kept_direction(trajectory) -> None:
    tensors, steps, _ = trajectory
    joint_SN = np.concatenate(list(tensors.values()), axis=1)
    found = hold_out_last(table_of(tensors, steps), list(tensors))
    direction_N = np.linalg.svd(joint_SN[: found.num_kept], full_matrices=False)[2][0]
    expected_S = joint_SN @ direction_N
    expected_S *= np.sign(expected_S[found.num_kept - 1])
    assert found.coefficients == pytest.approx(expected_S, rel=1e-6, abs=1e-6)
    slope, intercept = np.polyfit(steps[: found.num_kept], expected_S[: found.num_kept], 1)
    assert (found.line.slope, found.line.intercept) == pytest.approx((slope, intercept), abs=1e-6)


@pytest.mark.parametrize("steps", [[1, 2, 3, 4, 5, 6, 7, 8], [2, 3, 10, 11, 20, 40]])
def test_a_straight_line_is_forecast_exactly(steps) -> None:
    direction_N = np.random.default_rng(0).normal(size=100)
    found = diagnose(table_of({"w": np.outer(steps, direction_N)}, steps), [3 * steps[-1]]).overall
    assert found.forecast_skill.over_staying == pytest.approx(1.0)
    assert found.forecast_skill.newest_over_staying == pytest.approx(1.0)
    assert found.forecast_skill.over_secant is None
    assert found.forecast_skill.over_ray is None
    assert found.half_cosine == pytest.approx(1.0)
    assert found.persistence == pytest.approx(1.0)
    assert found.predicted_size == {3 * steps[-1]: pytest.approx(3.0)}


@pytest.mark.parametrize("seed", range(5))
def test_a_random_walk_looks_straight_but_is_not_forecast(seed) -> None:
    steps = range(1, 31)
    found = diagnose(table_of({"w": random_walk(seed, 30, 20_000)}, steps))
    assert found.overall.explained_fraction == pytest.approx(
        found.random_walk.explained_fraction, abs=0.01
    )
    assert found.overall.r2 == pytest.approx(found.random_walk.r2, abs=0.01)
    assert found.overall.r2 > 0.95
    assert found.overall.forecast_skill.over_staying < 0
    assert abs(found.overall.half_cosine) < 0.05
    assert abs(found.overall.persistence) < 0.05


def test_a_trajectory_that_turns_has_halves_at_right_angles() -> None:
    first_N, second_N = np.eye(2)
    steps = list(range(1, 21))
    turned = np.array([min(s, 10) * first_N + max(s - 10, 0) * second_N for s in steps])
    found = diagnose(table_of({"w": turned}, steps)).overall
    assert found.half_cosine == pytest.approx(0.0, abs=1e-9)
    assert found.explained_fraction > 0.9


def test_a_tensor_that_never_moved_is_unknown_and_changes_nothing() -> None:
    steps = list(range(1, 9))
    moving = random_walk(1, 8, 50, drift=1.0)
    alone = diagnose(table_of({"moving": moving}, steps))
    both = diagnose(table_of({"moving": moving, "still": np.zeros((8, 5))}, steps))
    assert both.overall == alone.overall
    assert both.num_still == 1
    still = both.tensors["still"]
    assert still.movement_fraction == 0
    assert {still.explained_fraction, still.r2, still.half_cosine, still.persistence} == {None}
    assert set(still.forecast_skill.model_dump().values()) == {None}
    assert set(still.predicted_size.values()) == {None}


def test_a_model_that_never_moved_is_unknown() -> None:
    found = diagnose(table_of({"still": np.zeros((5, 4))}, range(1, 6))).overall
    assert found.movement_fraction is None
    assert found.half_cosine is None
    assert found.forecast_skill.over_staying is None


def test_two_steps_leave_nothing_to_hold_out() -> None:
    found = diagnose(table_of({"w": random_walk(2, 2, 50)}, [1, 2]))
    assert found.held_out_steps == ()
    assert set(found.overall.forecast_skill.model_dump().values()) == {None}
    assert found.overall.half_cosine is not None
    assert found.overall.persistence is not None


def test_the_last_of_three_steps_is_held_out() -> None:
    found = diagnose(table_of({"w": random_walk(2, 3, 50)}, [1, 2, 3]))
    assert found.held_out_steps == (3,)
    assert found.overall.forecast_skill.over_staying is not None


def test_a_quarter_of_a_longer_window_is_held_out() -> None:
    steps = [5 * number for number in range(1, 31)]
    found = diagnose(table_of({"w": random_walk(2, 30, 50)}, steps))
    assert found.held_out_steps == tuple(steps[23:])


def test_updates_below_the_rounding_of_the_gram_matrix_are_unknown() -> None:
    """A far base, and steps a hundred-thousandth of the way: their squares are rounding."""
    far_N = np.random.default_rng(0).normal(size=500)
    wandering = far_N + 1e-5 * random_walk(3, 8, 500)
    found = diagnose(table_of({"w": wandering}, range(101, 109))).overall
    assert found.persistence is None
    assert found.forecast_skill.over_staying is None
    assert found.half_cosine is None


@pytest.mark.parametrize("num_elements", [100, 512, 5000])
def test_a_fitted_gram_matrix_is_off_by_no_more_than_is_said(num_elements, lab) -> None:
    base_N = torch.from_numpy(np.random.default_rng(7).normal(size=num_elements)).float()
    walk_SN = torch.from_numpy(1e-5 * random_walk(7, 40, num_elements, drift=0.5)).float()
    snapshots = {step + 1: {"w": base_N + walk_SN[step]} for step in range(40)}
    seen_SN = torch.stack([s["w"] - base_N for s in snapshots.values()]).double().numpy()
    movement = movement_of(lab.fit(snapshots, lab.base({"w": base_N})).table.tensors["w"].gram_SS)
    assert (np.abs(movement.gram_SS - seen_SN @ seen_SN.T) <= movement.rounding_SS).all()


def test_float32_fits_agree_with_float64_within_the_rounding(lab) -> None:
    random = np.random.default_rng(5)
    walk_SN = 1e-4 * random_walk(5, 12, 3000, drift=0.5)
    base_N = torch.from_numpy(random.normal(size=3000)).float()
    snapshots = {s + 1: {"w": base_N + torch.from_numpy(walk_SN[s]).float()} for s in range(12)}
    seen_SN = np.stack([(s["w"] - base_N).double().numpy() for s in snapshots.values()])
    found = diagnose(lab.fit(snapshots, lab.base({"w": base_N})).table).overall
    errors = dense_errors(seen_SN, range(1, 13), 1)
    skill = found.forecast_skill.over_staying
    assert skill == pytest.approx(1 - errors["line"] / errors["staying"], abs=1e-4)
    assert found.persistence == pytest.approx(dense_persistence(seen_SN), abs=1e-4)


def test_targets_lie_beyond_the_window() -> None:
    table = table_of({"w": random_walk(0, 4, 20)}, range(1, 5))
    assert list(diagnose(table).overall.predicted_size) == [8, 16, 40]
    with pytest.raises(FactorsError, match="step 4 is not beyond the window"):
        diagnose(table, [4])


def test_the_numbers_inside_the_window_are_those_of_quality() -> None:
    table = table_of({"a": random_walk(0, 6, 20), "b": random_walk(1, 6, 30)}, range(1, 7), rank=2)
    inside = quality(table.tensors.values())
    found = diagnose(table).overall
    assert (found.explained_fraction, found.r2) == (inside.explained_fraction, inside.r2)


def test_diagnostics_read_back_from_json() -> None:
    found = diagnose(table_of({"a": random_walk(0, 6, 20), "still": np.zeros((6, 2))}, range(1, 7)))
    assert Diagnostics.model_validate_json(found.model_dump_json()) == found
    assert sum(one.movement_fraction for one in found.tensors.values()) == pytest.approx(1.0)

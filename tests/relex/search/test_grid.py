"""Where the search may look."""

import numpy as np
import numpy.typing as npt
import pytest

from relex.candidates import LINE, Candidate
from relex.config import SearchConfig
from relex.parts import find_part
from relex.search import full_grid
from relex.search.grid import COLLAPSE, SECANT, halves, rungs, upper_half, way_of
from relex.search.trials import NUM_ERRORS

CONFIG = SearchConfig()
LINE_100, MLPS_100 = way_of(LINE, "", 100, CONFIG), way_of(SECANT, "14-27.mlp", 100, CONFIG)


def steps_of(candidates: list[Candidate]) -> list[int]:
    return [candidate.step for candidate in candidates]


def test_all_tensors_go_outwards_by_octaves_and_a_part_by_two_and_much_farther() -> None:
    assert steps_of(LINE_100.outwards()) == [200, 400, 800]
    assert steps_of(MLPS_100.outwards()) == [200, 800, 3200]
    assert steps_of(LINE_100.neighbours(400)) == [283, 566]
    assert steps_of(MLPS_100.neighbours(3200)) == [1600, 6400]
    assert all(MLPS_100.holds(candidate) for candidate in MLPS_100.outwards())
    assert not any(LINE_100.holds(candidate) for candidate in MLPS_100.outwards())


def test_the_grid_holds_the_way_outwards_and_all_its_neighbours() -> None:
    grid = full_grid(100, CONFIG)
    assert all(LINE_100.holds(candidate) for candidate in grid)
    outwards = steps_of(LINE_100.outwards())
    around = {step for length in outwards for step in steps_of(LINE_100.neighbours(length))}
    assert {*outwards, *around} <= set(steps_of(grid))
    assert len(grid) == 13


@pytest.mark.parametrize("last_step", [1, 2, 7, 1000])
@pytest.mark.parametrize("farthest", [1.3, 3.0, 10.0])
def test_every_target_lies_beyond_the_window_and_is_listed_once(last_step, farthest) -> None:
    config = SearchConfig(farthest=farthest, farthest_of_parts=2 * farthest)
    for way in (way_of(LINE, "", last_step, config), way_of(SECANT, "mlp", last_step, config)):
        for targets in (way.outwards(), way.near(), way.neighbours(2 * last_step)):
            steps = steps_of(targets)
            assert steps == sorted(set(steps))
            assert all(last_step < step <= way.farthest * last_step + 1 for step in steps)


def test_the_farthest_target_is_tried_where_it_is_a_stride_or_less() -> None:
    near = SearchConfig(farthest=4, farthest_of_parts=8)
    assert steps_of(way_of(LINE, "", 100, near).outwards()) == [200, 400]
    assert steps_of(way_of(SECANT, "mlp", 100, near).outwards()) == [200, 800]
    assert full_grid(100, near)[-1].step == 400
    nearest = SearchConfig(farthest=1.5)
    assert steps_of(way_of(LINE, "", 100, nearest).outwards()) == [150]


@pytest.mark.parametrize("num_layers", [2, 3, 4, 5, 28, 36])
def test_halves_share_no_layer_and_are_the_whole_whatever_the_number(num_layers: int) -> None:
    tensors = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(num_layers)]
    mlps, layers = upper_half(tensors)
    assert (mlps.kind, layers.kind) == ("mlp", "")
    assert mlps.layers == layers.layers == (num_layers // 2, num_layers - 1)
    for part in (mlps, layers):
        if parts := halves(part, tensors):
            (first, middle), (after, last) = (half.layers for half in parts)
            assert (first, last) == part.layers and middle + 1 == after
            assert abs((middle - first) - (last - after)) <= 1
            assert {half.kind for half in parts} == {part.kind}
    assert halves(find_part("7.mlp"), tensors) == []


def test_a_model_whose_layers_nobody_knows_has_no_half() -> None:
    assert upper_half([]) == upper_half(["model.layers.0.mlp.up.weight", "lm_head.weight"]) == []


@pytest.mark.parametrize(
    ("num_questions", "expected"),
    [(1000, [62, 250, 1000]), (200, [20, 50, 200]), (100, [20, 100]), (30, [30])],
)
def test_rungs_at_least_double_up_to_all_questions(num_questions: int, expected: list[int]) -> None:
    assert rungs(half_right(num_questions, 16)) == expected


def half_right(num_questions: int, num_samples: int) -> npt.NDArray[np.bool_]:
    return np.arange(num_questions)[:, None] * np.ones((1, num_samples)) % 2 == 0


@pytest.mark.parametrize(("num_samples", "first"), [(1, 135), (4, 34), (16, 20)])
def test_the_first_questions_make_a_collapse_clear(num_samples: int, first: int) -> None:
    assert rungs(half_right(300, num_samples))[0] == first
    error = (2 * 0.5 * 0.5 / num_samples / first) ** 0.5
    assert NUM_ERRORS * error <= COLLAPSE


def test_the_first_questions_are_no_more_than_half() -> None:
    assert rungs(half_right(100, 1)) == [50, 100]

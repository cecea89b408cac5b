"""Where the search may look."""

import numpy as np
import numpy.typing as npt
import pytest

from relex.config import SearchConfig
from relex.search import full_grid
from relex.search.grid import COLLAPSE, WIDE_STRIDE, near_targets, neighbours, rungs, way_outwards
from relex.search.trials import NUM_ERRORS

CONFIG = SearchConfig()


def test_the_grid_holds_the_way_outwards_and_all_its_neighbours() -> None:
    grid = {candidate.step for candidate in full_grid(100, CONFIG)}
    outwards = [candidate.step for candidate in way_outwards(100, CONFIG)]
    assert outwards == [141, 200, 283, 400, 566, 800]
    around = {c.step for step in outwards for c in neighbours(step, 100, CONFIG)}
    assert set(outwards) <= grid
    assert all(min(abs(step - known) for known in grid) <= 1 for step in around)


@pytest.mark.parametrize("last_step", [1, 2, 7, 1000])
def test_every_target_lies_beyond_the_window_and_is_listed_once(last_step: int) -> None:
    for targets in (
        way_outwards(last_step, CONFIG),
        near_targets(last_step, CONFIG),
        full_grid(last_step, CONFIG),
    ):
        steps = [candidate.step for candidate in targets]
        assert steps == sorted(set(steps))
        assert all(last_step < step <= CONFIG.farthest * last_step for step in steps)


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


def test_wide_strides_reach_as_far_with_half_the_targets() -> None:
    wide = [candidate.step for candidate in way_outwards(100, CONFIG, WIDE_STRIDE)]
    assert wide == [200, 400, 800]
    assert [c.step for c in neighbours(400, 100, CONFIG, WIDE_STRIDE)] == [283, 566]


def test_the_farthest_target_is_tried_where_it_is_a_stride() -> None:
    near = SearchConfig(farthest=4)
    assert [candidate.step for candidate in way_outwards(100, near)] == [141, 200, 283, 400]
    assert full_grid(100, near)[-1].step == 400

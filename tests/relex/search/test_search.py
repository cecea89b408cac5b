"""The search on simulated accuracy curves: what it finds, what it leaves out, what it costs.

Q questions, K samples per question.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from relex.candidates import BASE, Candidate, denoised
from relex.config import SearchConfig
from relex.digests import sha256_bytes
from relex.search import SEARCHED, Found, Graded, full_grid, search

LAST_STEP = 30
LAST = Candidate(step=LAST_STEP)
TOKENS_PER_ANSWER = 10
TENSORS = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(4)]
MLPS, LAYERS = "2-3.mlp", "2-3"
Curve = Callable[[float], float]


def curve(points: dict[int, float]) -> Curve:
    """Accuracy over the step, straight between the points on a logarithmic axis."""
    steps = np.log(list(points))
    return lambda step: float(np.interp(math.log(max(step, 1)), steps, list(points.values())))


# The toy at two learning rates, and shapes that it does not have.
RISING = curve({1: 0.506, 30: 0.591, 60: 0.677, 120: 0.738, 150: 0.697, 180: 0.582, 300: 0.129})
HARMFUL = curve({1: 0.506, 30: 0.847, 45: 0.80, 60: 0.481, 90: 0.1, 120: 0.029})
FLAT = curve({1: 0.5, 30: 0.6, 300: 0.6})
NO_PART = curve({30: 0.6, 60: 0.3, 120: 0.02})
FAR = curve({1: 0.4, 30: 0.5, 240: 0.75, 300: 0.7})
TWO_PEAKS = curve({1: 0.5, 30: 0.6, 50: 0.66, 75: 0.6, 150: 0.7, 210: 0.6, 300: 0.1})
CURVES = {"rising": RISING, "harmful": HARMFUL, "flat": FLAT, "far": FAR, "two peaks": TWO_PEAKS}


class World:
    """Candidates that answer with the accuracy of a curve.

    Questions are as hard as Beta(1, 1) says; an answer is right where a normal deviate, which two
    candidates share by half, is below the question's quantile.
    """

    def __init__(
        self, accuracy: Curve, num_questions: int, num_samples: int, seed: int = 0
    ) -> None:
        self._accuracy, self._seed = accuracy, seed
        rng = np.random.default_rng(seed)
        self.num_questions = num_questions
        self._ease_Q = rng.beta(1, 1, num_questions)
        self._common_QK = rng.standard_normal((num_questions, num_samples))
        self.change = {"secant": -0.08}
        self.parts: dict[str, Curve] = {}
        self.secant_lag = 1.0
        self.asked: list[tuple[Candidate, int]] = []

    def measure(self, candidate: Candidate, num_questions: int) -> Graded:
        self.asked.append((candidate, num_questions))
        correct_QK = self.correct_QK(candidate)[:num_questions]
        return Graded(correct_QK, correct_QK.size * TOKENS_PER_ANSWER)

    def correct_QK(self, candidate: Candidate) -> npt.NDArray[np.bool_]:
        accuracy = self.truth(candidate)
        power = 1 / accuracy - 1  # the mean of ease ** power is 1 / (1 + power)
        own = int(sha256_bytes(candidate.key.encode())[:8], 16)
        own_QK = np.random.default_rng([self._seed, own]).standard_normal(self._common_QK.shape)
        deviate_QK = math.sqrt(0.5) * (self._common_QK + own_QK)
        uniform_QK = np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2)(deviate_QK)
        return uniform_QK < self._ease_Q[:, None] ** power

    def truth(self, candidate: Candidate) -> float:
        step = min(candidate.step, LAST_STEP) if candidate.is_observed else candidate.step
        if candidate.part:
            return self.parts.get(candidate.part, NO_PART)(step)
        step *= self.secant_lag if candidate.method == "secant" else 1
        change = self.change.get(candidate.method, 0.0)
        return max(self._accuracy(max(step, 1)) + change, 0.01)

    def search(self, config: SearchConfig | None = None, cautious: bool = False) -> Found:
        config = config or SearchConfig()
        return search(self.measure, LAST_STEP, self.num_questions, config, (), cautious, TENSORS)


def finished(found: Found) -> list[Candidate]:
    """The rivals that answered all questions."""
    num_questions = found.path.num_questions
    graded = found.graded.items()
    return [c for c, g in graded if len(g.correct_QK) == num_questions and c not in (BASE, LAST)]


def chosen(world: World, rivals: list[Candidate]) -> Candidate:
    """The most accurate that is better than the last observed step by two standard errors."""
    last_Q = world.correct_QK(LAST).mean(axis=1)

    def gain(rival: Candidate) -> float:
        difference_Q = world.correct_QK(rival).mean(axis=1) - last_Q
        return float(difference_Q.mean() - 2.5 * difference_Q.std() / math.sqrt(last_Q.size))

    best = max(rivals, key=lambda rival: world.correct_QK(rival).mean(), default=LAST)
    return best if best != LAST and gain(best) > 0 else LAST


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(200, 16), (500, 4)])
def test_the_search_costs_a_third_of_the_grid_and_loses_half_a_point(
    shape: tuple[int, int],
) -> None:
    losses, fractions = [], []
    for accuracy in CURVES.values():
        for seed in range(4):
            world = World(accuracy, *shape, seed=seed)
            found = world.search()
            of_grid = world.truth(chosen(world, full_grid(LAST_STEP, SearchConfig())))
            losses.append(of_grid - world.truth(chosen(world, finished(found))))
            fractions.append(found.path.token_fraction)
    assert np.mean(losses) <= 0.005
    assert max(fractions) <= 0.35


def test_a_rising_curve_is_followed_to_its_top_and_not_beyond_the_collapse() -> None:
    found = World(RISING, 200, 16).search()
    assert all(90 <= candidate.step <= 150 for candidate in finished(found))
    ends = {trial.candidate.key: trial.end for trial in found.path.trials}
    assert ends["line-240"] == "collapsed"


def test_nothing_is_followed_where_extrapolation_is_harmful() -> None:
    falling = curve({1: 0.5, 30: 0.8, 40: 0.6, 60: 0.3, 120: 0.02})
    found = World(falling, 200, 16).search()
    assert max(candidate.step for candidate in found.graded) <= 60
    assert [c for c in finished(found) if c.step > 36] == []


def test_nearer_targets_are_tried_where_the_first_is_worse_than_the_last_step() -> None:
    found = World(HARMFUL, 200, 16).search()
    assert {33, 36} <= {candidate.step for candidate in found.graded}


def test_a_second_peak_is_found_behind_a_dip() -> None:
    found = World(TWO_PEAKS, 500, 4).search()
    assert any(candidate.step >= 120 for candidate in finished(found))


def test_the_last_observed_step_answers_all_questions_and_the_base_a_quarter() -> None:
    found = World(FLAT, 100, 16).search()
    assert len(found.graded[LAST].correct_QK) == 100
    assert len(found.graded[BASE].correct_QK) == 25


@pytest.mark.parametrize("shape", [(100, 1), (200, 16)])
def test_a_base_that_training_made_worse_answers_all_questions(shape: tuple[int, int]) -> None:
    found = World(curve({1: 0.7, 30: 0.5, 60: 0.3, 120: 0.02}), *shape).search()
    assert len(found.graded[BASE].correct_QK) == shape[0]


def test_a_secant_that_is_better_is_followed_to_its_own_top() -> None:
    world = World(RISING, 200, 16)
    world.secant_lag = 0.7
    world.change["secant"] = 0.06
    best = chosen(world, finished(world.search()))
    assert best.method == "secant" and 140 <= best.step <= 202


def test_every_method_is_tried_and_the_upper_half_of_the_layers() -> None:
    found = World(RISING, 200, 16).search()
    assert {candidate.method for candidate in found.graded} == {"", *SEARCHED}
    assert {candidate.part for candidate in found.graded} == {"", MLPS, LAYERS}


def test_a_secant_that_wins_is_followed_and_the_best_on_the_line_stays_beside_it() -> None:
    world = World(RISING, 200, 16)
    world.change["secant"] = 0.1
    found = finished(world.search())
    assert any(candidate.is_on_the_line for candidate in found)
    assert any(candidate.method == "secant" for candidate in found)


@pytest.mark.parametrize("shape", [(200, 16), (500, 4), (200, 4)])
def test_a_part_that_carries_the_gain_is_followed_to_its_own_top(shape: tuple[int, int]) -> None:
    world = World(RISING, *shape)
    world.parts[MLPS] = curve({30: 0.6, 480: 0.93, 960: 0.9, 1920: 0.5})
    best = chosen(world, finished(world.search()))
    assert (best.method, best.part) == ("secant", MLPS)
    assert 240 <= best.step <= 960


def test_the_half_of_a_part_that_is_better_is_found() -> None:
    world = World(RISING, 200, 16)
    world.parts[MLPS] = curve({30: 0.6, 240: 0.8, 960: 0.5})
    world.parts["3.mlp"] = curve({30: 0.6, 240: 0.9, 480: 0.95, 1920: 0.7})
    best = chosen(world, finished(world.search()))
    assert best.part == "3.mlp" and best.step in (240, 480, 960)
    assert Candidate(step=240, method="secant", part="2.mlp") in world.search().graded


def test_the_last_step_is_kept_where_every_part_collapses() -> None:
    world = World(HARMFUL, 200, 16)
    found = world.search()
    assert chosen(world, finished(found)) == LAST
    of_parts = [trial for trial in found.path.trials if trial.candidate.part]
    assert [trial.end for trial in of_parts] == ["collapsed", "collapsed"]


@pytest.mark.parametrize(
    ("tensors", "parts"),
    [
        ([], set()),
        (["a", "lm_head.weight"], set()),
        (["model.layers.0.mlp.up.weight"], set()),
        ([f"model.layers.{layer}.self_attn.q.weight" for layer in range(4)], {LAYERS}),
        ([f"model.layers.{layer}.mlp.up.weight" for layer in (0, 3)], {MLPS, LAYERS, "3.mlp"}),
    ],
)
def test_only_parts_of_which_something_moved_are_tried(tensors, parts) -> None:
    world = World(RISING, 200, 16)
    world.parts[MLPS] = curve({30: 0.6, 240: 0.9})
    found = search(world.measure, LAST_STEP, 200, SearchConfig(), tensors=tensors)
    assert {candidate.part for candidate in found.graded} - {""} == parts


def test_the_number_of_parts_does_not_grow_with_the_layers() -> None:
    """Halves are halved, so eight times the layers are three parts more, of one kind."""
    tried = []
    for number in (4, 32):
        tensors = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(number)]
        world = World(RISING, 500, 4)
        world.parts = dict.fromkeys((MLPS, "16-31.mlp"), curve({30: 0.6, 480: 0.9, 1920: 0.5}))
        world.parts |= dict.fromkeys(("24-31.mlp", "28-31.mlp"), curve({30: 0.6, 480: 0.92}))
        found = search(world.measure, LAST_STEP, 500, SearchConfig(), tensors=tensors)
        tried.append({candidate.part for candidate in found.graded if candidate.part})
    assert len(tried[1]) <= len(tried[0]) + 2 * 3


def test_the_last_step_denoised_is_followed_where_it_is_the_best_there_is() -> None:
    world = World(HARMFUL, 200, 16)
    world.change["denoised"] = 0.06
    assert denoised(LAST_STEP) in finished(world.search())


def test_a_window_that_forecasts_badly_changes_the_order_and_leaves_nothing_out() -> None:
    usual, careful = (World(RISING, 500, 4).search(cautious=c) for c in (False, True))
    assert {33, 36} <= {candidate.step for candidate in careful.graded}
    assert set(usual.graded) <= set(careful.graded)


def test_measurements_that_are_kept_replay_the_same_search() -> None:
    world = World(TWO_PEAKS, 200, 4)
    kept: dict[tuple[Candidate, int], Graded] = {}

    def remember(candidate: Candidate, num_questions: int) -> Graded:
        if (candidate, num_questions) not in kept:
            kept[candidate, num_questions] = world.measure(candidate, num_questions)
        return kept[candidate, num_questions]

    config = SearchConfig()
    first = search(remember, LAST_STEP, 200, config)
    num_asked = len(world.asked)
    second = search(remember, LAST_STEP, 200, config)
    assert second.path == first.path
    assert len(world.asked) == num_asked


def test_no_candidate_is_asked_for_fewer_questions_than_before() -> None:
    world = World(RISING, 500, 4)
    world.search()
    by_candidate: dict[Candidate, list[int]] = {}
    for candidate, number in world.asked:
        by_candidate.setdefault(candidate, []).append(number)
    assert all(numbers == sorted(set(numbers)) for numbers in by_candidate.values())


@pytest.mark.parametrize("budget_fraction", [0.2, 0.25, 0.35])
def test_the_budget_is_kept(budget_fraction: float) -> None:
    for seed in range(5):
        found = World(FAR, 200, 4, seed).search(SearchConfig(budget_fraction=budget_fraction))
        assert found.path.token_fraction <= budget_fraction


def test_few_questions_are_all_answered_by_whatever_is_tried() -> None:
    found = World(RISING, 20, 4).search()
    assert {len(graded.correct_QK) for graded in found.graded.values()} == {20}


def test_the_path_tells_every_candidate_once_with_its_cost() -> None:
    found = World(RISING, 200, 16).search()
    trials = found.path.trials
    assert [trial.candidate for trial in trials] == list(found.graded)
    assert all(t.num_tokens == t.num_questions * 16 * TOKENS_PER_ANSWER for t in trials)
    assert all(bool(trial.end) == (trial.num_questions < 200) for trial in trials)
    grid = len(full_grid(LAST_STEP, SearchConfig()))
    assert found.path.num_grid_tokens == (grid + 2) * 200 * 16 * TOKENS_PER_ANSWER

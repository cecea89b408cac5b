"""How the rule of the choice spends its 5 %: level and power of four rules, on simulated runs.

    python tests/bench/bench_choice.py [--null 1000] [--better 300] [--shape 60x2]

Runs are those of `bench_search`, with a top that lies a given number of points above the last
observed step, or with nothing better than it (0 points), where the base is as good as it too. Their
candidates are the base with lists of 3 and 10 targets, and what the search measures with its own
settings. The rules:

- `holm`: all that were measured, each on its own questions, corrected by Holm;
- `whole`: the max statistic over all that were measured, each on its own questions;
- `relex`: what the product does, in which a dropped candidate counts as one that could have been
  followed in the place of a tested one;
- `fresh`: only what answered all questions, on those that the search had not looked at.

Q questions, K samples per question, C candidates.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from bench_search import LAST, LAST_STEP, SEARCH, TENSORS, Simulated, show_share
from rich.console import Console
from rich.table import Table

from relex.candidates import BASE, Candidate
from relex.config import SelectionConfig
from relex.search import full_grid, search
from relex.selection import paired_test, paired_tests
from relex.selection.paired import Pair

GAINS = {"60x2": (0.05, 0.10, 0.15), "200x4": (0.03, 0.05, 0.10), "200x16": (0.02, 0.03, 0.10)}
LISTS = {"3 targets": (2, 6, 10), "10 targets": tuple(range(10))}
EARLIER = [Candidate(step=step) for step in (10, 20)]
CONFIG = SelectionConfig(num_resamples=1000)
P_values = Sequence[float]


class Known(Simulated):
    """A run whose top is `gain` above the last observed step."""

    def __init__(self, seed: int, shape: tuple[int, int], gain: float) -> None:
        super().__init__(seed, shape, is_null=gain == 0)
        rng = np.random.default_rng([seed, 1])
        self._base = rng.uniform(0.1, 0.4)
        self._last = self._base + rng.uniform(0.05, 0.25)
        self._log_top = rng.uniform(np.log(1.4), np.log(8))
        self._rise, self._is_flat = gain, gain == 0
        if self._is_flat:
            self._base = self._last


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p-values (Holm 1979), in the order given."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, row in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[row]))
        corrected[row] = largest
    return corrected


def by_holm(tested: Sequence[Pair], dropped: Sequence[Pair]) -> P_values:
    tests = [paired_test(*pair, CONFIG, 0) for pair in (*tested, *_cut(dropped))]
    return holm([test.p_value for test in tests])[: len(tested)]


def by_whole(tested: Sequence[Pair], dropped: Sequence[Pair]) -> P_values:
    num_questions = len(tested[0][0])
    padded = [
        tuple(np.pad(part, ((0, num_questions - len(part)), (0, 0))) for part in pair)
        for pair in _cut(dropped)
    ]
    tests = paired_tests([*tested, *padded], CONFIG, 0)
    return [test.p_value for test in tests[: len(tested)]]


def by_relex(tested: Sequence[Pair], dropped: Sequence[Pair]) -> P_values:
    return [test.p_value for test in paired_tests(tested, CONFIG, 0, dropped)]


def by_fresh(tested: Sequence[Pair], dropped: Sequence[Pair]) -> P_values:
    num_seen = max((len(pair[0]) for pair in dropped), default=0)
    fresh = [(candidate[num_seen:], last[num_seen:]) for candidate, last in tested]
    return [test.p_value for test in paired_tests(fresh, CONFIG, 0)]


RULES: dict[str, Callable[[Sequence[Pair], Sequence[Pair]], P_values]] = {
    "holm": by_holm,
    "whole": by_whole,
    "relex": by_relex,
    "fresh": by_fresh,
}


def _cut(pairs: Sequence[Pair]) -> list[Pair]:
    return [(candidate, last[: len(candidate)]) for candidate, last in pairs]


def answers_of(
    run: Known, shape: tuple[int, int], way: str
) -> dict[Candidate, npt.NDArray[np.bool_]]:
    """The rivals with their answers, by a list or by the search."""
    if way == "auto":
        found = search(run.measure, LAST_STEP, shape[0], SEARCH, EARLIER, tensors=TENSORS).graded
        return {c: g.correct_QK for c, g in found.items() if c != LAST}
    grid = full_grid(LAST_STEP, SEARCH)
    return {each: run.answers(each) for each in (BASE, *(grid[place] for place in LISTS[way]))}


def replaced_by(
    seed: int, shape: tuple[int, int], way: str, gain: float
) -> dict[str, float | None]:
    """By rule, the true gain of what replaces the last observed step; None where it is kept."""
    run = Known(seed, shape, gain)
    rivals, last_QK = answers_of(run, shape, way), run.answers(LAST)
    tested = {c: rows for c, rows in rivals.items() if len(rows) == shape[0]}
    dropped = [(rows, last_QK) for c, rows in rivals.items() if c not in tested]
    if not tested:
        return dict.fromkeys(RULES)
    pairs = [(rows, last_QK) for rows in tested.values()]
    chosen: dict[str, float | None] = {}
    for name, rule in RULES.items():
        passed = [
            c
            for c, p_value in zip(tested, rule(pairs, dropped), strict=True)
            if p_value <= 1 - CONFIG.confidence
        ]
        best = max(passed, key=lambda c: tested[c].mean(), default=None)
        chosen[name] = None if best is None else run.truth(best) - run.truth(LAST)
    return chosen


def show_runs(shape: str, way: str, gain: float, num_runs: int) -> list[str]:
    """Share of runs in which each rule replaces the last step, by a better one where there is."""
    size = tuple(map(int, shape.split("x")))
    runs = [replaced_by(seed, (size[0], size[1]), way, gain) for seed in range(num_runs)]
    shares = [
        show_share([run[name] is not None and (gain == 0 or run[name] > 0) for run in runs])
        for name in RULES
    ]
    return [shape, way, f"{gain:.2f}", str(num_runs), *shares]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--null", type=int, default=1000, help="runs without a better candidate")
    parser.add_argument("--better", type=int, default=300, help="runs with one, for each gain")
    parser.add_argument("--shape", choices=GAINS, help="only this many questions x samples")
    options = parser.parse_args()
    table = Table("questions x samples", "candidates", "gain", "runs", *RULES)
    for shape in [options.shape] if options.shape else GAINS:
        for way in ("auto", *LISTS):
            for gain in (0.0, *GAINS[shape]):
                row = show_runs(shape, way, gain, options.better if gain else options.null)
                print(*row, sep=" | ", flush=True)
                table.add_row(*row)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()

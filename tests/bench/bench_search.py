"""What `targets: auto` loses and saves against the full grid, on simulated runs.

    python tests/bench/bench_search.py [--runs 300]

A run is an accuracy curve over the target, drawn at random: it rises to a top at 1 to 10 lengths of
the window and falls behind it, gently or at once; parts of the tensors go as the square of the
length, and lose a little. Questions differ in difficulty, and answers of
two candidates to one question resemble each other. Search and full grid are followed by the same
decision that relex makes. The second table has runs in which nothing is better than the last
observed step, so that every replacement of it is wrong.

Q questions, K samples per question.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats

from relex.candidates import BASE, Candidate
from relex.config import SearchConfig, SelectionConfig
from relex.digests import sha256_bytes
from relex.search import Graded, full_grid, search
from relex.selection import Measured, decide

SHAPES = ((200, 16), (500, 4), (100, 1))
LAST_STEP = 30
TENSORS = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(28)]
LAST = Candidate(step=LAST_STEP)
SEARCH = SearchConfig()
SELECTION = SelectionConfig(num_resamples=1000)
TOKENS_PER_ANSWER = 100
RESEMBLANCE = 0.5
LOWEST, HIGHEST = 0.01, 0.98
POINTS = 100


class Simulated:
    """A run whose true accuracies are known, with its answers to the validation questions."""

    def __init__(self, seed: int, shape: tuple[int, int], is_null: bool) -> None:
        self._seed = seed
        rng = np.random.default_rng(seed)
        self._base = rng.uniform(0.1, 0.6)
        self._last = self._base + rng.uniform(0, 0.25)
        is_harmful = is_null or rng.random() < 0.25
        self._log_top = 0.0 if is_harmful else rng.uniform(0, np.log(10))
        self._rise = 0.0 if is_harmful else rng.uniform(0, 0.2)
        self._fall = np.exp(rng.uniform(np.log(0.02), np.log(1.0)))
        self._is_flat = is_null and rng.random() < 0.5
        self._ease_Q = rng.beta(1, 1, shape[0])
        self._common_QK = rng.standard_normal(shape)

    def measure(self, candidate: Candidate, num_questions: int) -> Graded:
        correct_QK = self.answers(candidate)[:num_questions]
        return Graded(correct_QK, correct_QK.size * TOKENS_PER_ANSWER)

    def answers(self, candidate: Candidate) -> npt.NDArray[np.bool_]:
        """Right where a normal deviate, partly common to all candidates, is below the ease."""
        own_QK = self._rng(candidate).standard_normal(self._common_QK.shape)
        deviate_QK = RESEMBLANCE**0.5 * self._common_QK + (1 - RESEMBLANCE) ** 0.5 * own_QK
        power = 1 / self.truth(candidate) - 1  # the mean of ease ** power is 1 / (1 + power)
        return stats.norm.cdf(deviate_QK) < self._ease_Q[:, None] ** power

    def truth(self, candidate: Candidate) -> float:
        """Accuracy on infinitely many questions."""
        if candidate == BASE:
            return self._base
        if candidate == LAST or self._is_flat:
            return self._last
        log_length = np.log(max(candidate.step / LAST_STEP, 1))
        log_length /= 2 if candidate.part else 1
        return float(np.clip(self._curve(log_length) + self._change(candidate), LOWEST, HIGHEST))

    def _curve(self, log_length: float) -> float:
        if log_length > self._log_top:
            return self._last + self._rise - self._fall * (log_length - self._log_top) ** 2
        way = 1.0 if self._log_top == 0 else log_length / self._log_top
        return self._last + self._rise * way * (2 - way)

    def _change(self, candidate: Candidate) -> float:
        """Other ways than the line lose a little, so that only the search makes a difference."""
        if candidate.is_on_the_line:
            return 0.0
        return -abs(self._rng(candidate).normal(0, 0.05))

    def _rng(self, candidate: Candidate) -> np.random.Generator:
        return np.random.default_rng(
            [self._seed, int(sha256_bytes(candidate.key.encode())[:8], 16)]
        )


@dataclass(frozen=True)
class Outcome:
    """True accuracies and costs of one run."""

    of_search: float
    of_grid: float
    of_last: float
    oracle: float
    token_fraction: float
    is_replaced: bool


def simulate(seed: int, shape: tuple[int, int], is_null: bool) -> Outcome:
    run, grid = Simulated(seed, shape, is_null), full_grid(LAST_STEP, SEARCH)
    found = search(run.measure, LAST_STEP, shape[0], SEARCH, tensors=TENSORS)
    chosen = decide([Measured(c, g.correct_QK) for c, g in found.graded.items()], SELECTION, 0)
    everything = [Measured(each, run.answers(each)) for each in (BASE, LAST, *grid)]
    of_grid = decide(everything, SELECTION, 0)
    return Outcome(
        of_search=run.truth(chosen.chosen),
        of_grid=run.truth(of_grid.chosen),
        of_last=run.truth(LAST),
        oracle=max(run.truth(each) for each in (LAST, *grid)),
        token_fraction=found.path.token_fraction,
        is_replaced=chosen.chosen != LAST,
    )


def show_mean(values: Sequence[float]) -> str:
    """Mean in points with its 95 % interval over the runs."""
    half = 1.96 * stats.sem(values)
    return f"{POINTS * np.mean(values):.2f} ± {POINTS * half:.2f}"


def show_share(flags: Sequence[bool]) -> str:
    """Share with its exact 95 % interval."""
    bounds = stats.binomtest(sum(flags), len(flags)).proportion_ci()
    return f"{np.mean(flags):.1%} [{bounds.low:.1%}, {bounds.high:.1%}]"


def against_the_grid(num_runs: int) -> Table:
    table = Table(
        "questions x samples",
        "loss to the grid's choice",
        "within half a point",
        "its loss to the best",
        "the grid's",
        "gain over the last step",
        "tokens, largest",
        title=f"Search against the full grid, {num_runs} runs, in points of true accuracy",
    )
    for shape in SHAPES:
        runs = [simulate(seed, shape, is_null=False) for seed in track(range(num_runs))]
        fractions = [run.token_fraction for run in runs]
        table.add_row(
            " x ".join(map(str, shape)),
            show_mean([run.of_grid - run.of_search for run in runs]),
            show_share([run.of_grid - run.of_search <= 0.005 for run in runs]),
            show_mean([run.oracle - run.of_search for run in runs]),
            show_mean([run.oracle - run.of_grid for run in runs]),
            show_mean([run.of_search - run.of_last for run in runs]),
            f"{np.mean(fractions):.1%}, {max(fractions):.1%}",
        )
    return table


def without_a_better_one(num_runs: int) -> Table:
    table = Table(
        "questions x samples",
        "wrongly replaced",
        "worse by more than half a point",
        "tokens",
        title=f"Nothing is better than the last observed step, {num_runs} runs",
    )
    for shape in SHAPES:
        runs = [simulate(seed, shape, is_null=True) for seed in track(range(num_runs))]
        table.add_row(
            " x ".join(map(str, shape)),
            show_share([run.is_replaced for run in runs]),
            show_share([run.of_last - run.of_search > 0.005 for run in runs]),
            f"{np.mean([run.token_fraction for run in runs]):.1%}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=300)
    options = parser.parse_args()
    console = Console(width=150)
    console.print(against_the_grid(options.runs))
    console.print(without_a_better_one(options.runs))


if __name__ == "__main__":
    main()

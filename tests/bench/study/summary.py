"""What the study says: by run, by mode of the choice, and of the signals of a fit."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from choice import EARLIER, LAST, Choice, everything, grid
from scipy import stats
from trajectory import WINDOW_STEPS, Trajectory

from relex.candidates import BASE, Candidate

LARGE_GAIN = 0.03
CAPTURE = 0.8
SIGNALS = ("explained_fraction", "r2", "forecast_skill", "half_cosine", "persistence")


@dataclass(frozen=True)
class RunResult:
    """One run; accuracies are exact, on the test questions unless said otherwise."""

    task: str
    learning_rate: float
    seed: int
    base: float
    last_observed: float
    grid_oracle: float
    """Best of the targets of the full grid and the observed steps."""

    oracle: float
    """Best of all kinds of candidates at these targets."""

    oracle_candidate: str
    continued: float
    """At the last step that was really trained."""

    continued_steps: int
    explained_fraction: float
    r2: float
    forecast_skill: float
    half_cosine: float
    persistence: float

    @property
    def gain(self) -> float:
        """What rank-1 targets could add to the last observed step."""
        return self.grid_oracle - self.last_observed


def result_of(run: Trajectory) -> RunResult:
    accuracy = {each: float(run.exact(each, "test").mean()) for each in everything()}
    best = max(accuracy, key=lambda each: accuracy[each])
    diagnosis = run.diagnosis
    last_step = run.continued_steps[-1]
    end = Candidate(step=last_step)
    return RunResult(
        task=run.setting.task,
        learning_rate=run.setting.learning_rate,
        seed=run.setting.seed,
        base=float(run.exact(BASE, "test").mean()),
        last_observed=accuracy[LAST],
        grid_oracle=max(accuracy[each] for each in [*EARLIER, LAST, *grid()]),
        oracle=accuracy[best],
        oracle_candidate=best.key,
        continued=float(run.exact(end, "test").mean()),
        continued_steps=last_step,
        explained_fraction=float(diagnosis.explained_fraction or 0),
        r2=float(diagnosis.r2 or 0),
        forecast_skill=float(diagnosis.forecast_skill.over_staying or 0),
        half_cosine=float(diagnosis.half_cosine or 0),
        persistence=float(diagnosis.persistence or 0),
    )


def steps_to_reach(run: Trajectory, accuracy: float) -> float:
    """Step at which the real run first has `accuracy` on the test questions; inf if it does not."""
    for step in [WINDOW_STEPS, *run.continued_steps]:
        if run.exact(Candidate(step=step), "test").mean() >= accuracy:
            return step
    return float("inf")


@dataclass(frozen=True)
class ModeResult:
    """All draws of one mode over some runs; regrets and losses are in points of accuracy."""

    mode: str
    num_samples: int
    num_choices: int
    mean_regret: float
    """Below the best target of the grid (negative: above it)."""

    mean_full_regret: float
    """Below the best of all kinds of candidates."""

    worst_regret: float
    clearly_worse_fraction: float
    captured_fraction: float
    """Of the choices where the grid could gain more than 3 points: those that got 80 % of it."""

    num_large: int
    answer_fraction: float
    """Answers over those of the full grid."""


def summarise(pairs: Sequence[tuple[RunResult, Choice]], grid_answers: int) -> ModeResult:
    regrets = np.array([result.grid_oracle - choice.accuracy for result, choice in pairs])
    full = np.array([result.oracle - choice.accuracy for result, choice in pairs])
    large = [(result, choice) for result, choice in pairs if result.gain > LARGE_GAIN]
    captured = [
        choice.accuracy - result.last_observed >= CAPTURE * result.gain for result, choice in large
    ]
    return ModeResult(
        mode=pairs[0][1].mode,
        num_samples=pairs[0][1].num_samples,
        num_choices=len(pairs),
        mean_regret=100 * float(regrets.mean()),
        mean_full_regret=100 * float(full.mean()),
        worst_regret=100 * float(regrets.max()),
        clearly_worse_fraction=float(np.mean([choice.is_clearly_worse for _, choice in pairs])),
        captured_fraction=float(np.mean(captured)) if captured else float("nan"),
        num_large=len(large),
        answer_fraction=float(np.mean([choice.num_answers for _, choice in pairs])) / grid_answers,
    )


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval by Student's t; the values are of different seeds."""
    array = np.array(values)
    half = stats.t.ppf(0.975, len(array) - 1) * stats.sem(array) if len(array) > 1 else np.nan
    return float(array.mean()), float(array.mean() - half), float(array.mean() + half)


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of a signal with the gain, and its 95 % bootstrap interval."""

    signal: str
    task: str
    value: float
    low: float
    high: float
    num_runs: int


def correlations(results: Sequence[RunResult]) -> list[Correlation]:
    tasks = sorted({result.task for result in results})
    groups = {task: [r for r in results if r.task == task] for task in tasks} | {"both": results}
    return [
        _correlation(signal, task, group)
        for signal in SIGNALS
        for task, group in groups.items()
        if len(group) > 3
    ]


def _correlation(signal: str, task: str, results: Sequence[RunResult]) -> Correlation:
    pairs = np.array([(asdict(result)[signal], result.gain) for result in results])
    rng = np.random.default_rng(0)
    drawn = [
        stats.spearmanr(*pairs[rng.integers(len(pairs), size=len(pairs))].T).statistic
        for _ in range(1000)
    ]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    value = stats.spearmanr(*pairs.T).statistic
    return Correlation(signal, task, float(value), float(low), float(high), len(pairs))

"""What the study says: of each run, of each rule, and of what was tried beside them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from choice import COMPLETIONS_PER_STEP, Choice, Run
from points import LAST
from setting import WINDOW_STEPS

from relex.candidates import BASE, LINE, Candidate, parse_candidate
from relex.extrapolation.forecast import skill, squared_errors
from relex.extrapolation.movement import GRAM_ROUNDING, Movement
from relex.search.grid import SECANT

GAINABLE = 0.01
"""A run has something to gain where the best of all points is this much above the last step."""

Where = Callable[[Candidate], bool]


@dataclass(frozen=True)
class Best:
    """The best point of a kind, read off the test questions: what no choice can know."""

    key: str
    accuracy: float


def best(run: Run, where: Where = lambda _: True) -> Best:
    """Among the base, the trained steps of the window and what lies beyond it, where `where`."""
    keys = [each.key for each in _points(run) if where(each)]
    key = max(keys, key=run.record.accuracy)
    return Best(key, run.record.accuracy(key))


def on_line(point: Candidate) -> bool:
    return point.method == LINE and not point.part


def on_secant(point: Candidate) -> bool:
    return point.method == SECANT and not point.part


def _points(run: Run) -> list[Candidate]:
    keys = [key for key in run.record.chances if "/" not in key and not key.startswith("logits")]
    points = [parse_candidate(key) for key in keys]
    return [each for each in points if not each.is_observed or each.step <= WINDOW_STEPS]


def last(run: Run, temperature: int = 0) -> float:
    return run.record.accuracy(LAST.key, temperature)


def base(run: Run, temperature: int = 0) -> float:
    return run.record.accuracy(BASE.key, temperature)


def trained_steps(run: Run, since: int = WINDOW_STEPS) -> list[int]:
    """Measured steps of real training, from the end of the window on unless from another one."""
    points = (parse_candidate(key) for key in run.record.chances if key.startswith("observed-"))
    return sorted(point.step for point in points if point.step >= since)


def steps_to_reach(run: Run, accuracy: float, since: int = WINDOW_STEPS) -> float:
    """The first measured step of real training that has `accuracy`; inf when none has."""
    for step in trained_steps(run, since):
        if run.record.accuracy(Candidate(step=step).key) >= accuracy:
            return step
    return float("inf")


def search_steps(num_answers: float) -> float:
    """What answers cost in steps of training, by generated tokens: an answer is as long as a
    completion."""
    return num_answers / COMPLETIONS_PER_STEP


@dataclass(frozen=True)
class Worth:
    """What a choice was worth against training on."""

    real_steps: float
    """To its accuracy; where training ended before, its last step."""

    is_bound: bool
    """Whether training ended before it had that accuracy."""

    spent_steps: float
    """Trained steps and the search, in steps of training."""

    @property
    def factor(self) -> float:
        return self.real_steps / self.spent_steps


def worth(run: Run, choice: Choice) -> Worth:
    reached = steps_to_reach(run, choice.accuracies[0])
    end = trained_steps(run)[-1]
    spent = WINDOW_STEPS + search_steps(choice.num_answers)
    return Worth(min(reached, end), not np.isfinite(reached), spent)


@dataclass(frozen=True)
class RuleResult:
    """All choices of one rule; gains and regrets in points of accuracy."""

    num_choices: int
    gain: float
    """Over the last step, in the runs where anything can be gained."""

    gain_of_line: float
    """What the best target of the paper's line gains there."""

    regret: float
    """Below the best of all points, in all runs."""

    worst_regret: float
    num_clearly_worse: int
    num_answers: float
    steps: float
    """Its answers in steps of training."""


def summarise(pairs: Sequence[tuple[Run, Choice]]) -> RuleResult:
    gainable = [(run, choice) for run, choice in pairs if can_gain(run)]
    regrets = [best(run).accuracy - choice.accuracies[0] for run, choice in pairs]
    return RuleResult(
        num_choices=len(pairs),
        gain=100 * _mean(choice.accuracies[0] - last(run) for run, choice in gainable),
        gain_of_line=100
        * _mean(max(best(run, on_line).accuracy - last(run), 0) for run, _ in gainable),
        regret=100 * _mean(regrets),
        worst_regret=100 * max(regrets),
        num_clearly_worse=sum(choice.is_clearly_worse for _, choice in pairs),
        num_answers=_mean(choice.num_answers for _, choice in pairs),
        steps=search_steps(_mean(choice.num_answers for _, choice in pairs)),
    )


def can_gain(run: Run) -> bool:
    return best(run).accuracy - last(run) > GAINABLE


def best_constant(runs: Sequence[Run], where: Where) -> str:
    """The point, the same in all runs, that is best on average on their test questions."""
    common = set.intersection(*({each.key for each in _points(run) if where(each)} for run in runs))
    return max(sorted(common), key=lambda key: _mean(run.record.accuracy(key) for run in runs))


def forecast_skill(run: Run) -> float:
    """Of the whole model over staying put."""
    steps = range(1, WINDOW_STEPS + 1)
    errors = []
    for gram_SS in run.record.gram.values():
        norm_S = np.sqrt(gram_SS.diagonal())
        movement = Movement(gram_SS, GRAM_ROUNDING * np.outer(norm_S, norm_S))
        errors.append(squared_errors(movement, steps, 1))
    return skill([each for each in errors if each is not None]).over_staying or 0.0


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

"""Which variant is best, and whether chance explains it.

Variants are ranked by validation accuracy: the mean over their seeds, of the candidate that each
run chose. The test questions, which neither a run's choice nor this ranking has seen, then tell by
how much the winner is ahead and how certain that is. Ranking by the test questions would use up
what makes them worth quoting. A variant whose trials did not all finish stands behind those whose
did: what is left of a variant that often breaks is no fair sample of it. Behind these stands one
with a trial that made the model worse than the base: that trial's accuracy is the base's.

Two questions are kept apart. Are these checkpoints better? The paired test over the questions, all
seeds and samples of a question taken together, and all variants together, so that p-values and
intervals hold for all of them at once. Would another seed say the same? The spread of the
differences between seeds: few seeds tell little, and Student's interval says how little.

Q questions, K samples per question, S seeds.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt
from scipy import stats

from relex.config import SelectionConfig
from relex.selection import Interval, bootstrap_interval, paired_tests
from relex.selection.paired import Pair
from relex.sweep.leaderboard import ToWinner, TrialMeasures, TrialResult, VariantResult

TestAnswers = Mapping[str, npt.NDArray[np.bool_]]
"""Graded answers `correct_QK` to the headline test questions by run id, for every trial that
finished; rows are the same questions in the same order."""


def rank(
    trials: Sequence[TrialResult], answers: TestAnswers, config: SelectionConfig, seed: int
) -> list[VariantResult]:
    """The variants, best first; those without a finished trial last, in the order of the sweep.

    Intervals and tests are made by `config` and `seed`, which are those of the base recipe.
    """
    by_variant: dict[str, list[TrialResult]] = {}
    for trial in trials:
        by_variant.setdefault(trial.variant, []).append(trial)
    groups = sorted(by_variant.values(), key=_rank_key)
    winner, *others = groups
    common = [_common_seeds(winner, other) for other in others]
    pairs: list[Pair] = [
        (_joined(winner, seeds, answers), _joined(other, seeds, answers))
        for other, seeds in zip(others, common, strict=True)
        if seeds
    ]
    tests = iter(paired_tests(pairs, config, seed) if pairs else [])
    results = [_result(winner, None, answers, config, seed)]
    for other, seeds in zip(others, common, strict=True):
        to_winner = None
        if seeds:
            differences = _by_seed(winner, other, seeds, answers)
            to_winner = ToWinner(
                seeds=seeds,
                test=next(tests),
                by_seed=differences,
                seed_interval=seed_interval(differences, config.confidence),
            )
        results.append(_result(other, to_winner, answers, config, seed))
    return results


def seed_interval(differences: Sequence[float], confidence: float) -> Interval | None:
    """Student's interval of the mean of one value per seed; None for fewer than two."""
    num_seeds = len(differences)
    if num_seeds < 2:
        return None
    error = stdev(differences) / num_seeds**0.5
    reach = float(stats.t.ppf((1 + confidence) / 2, num_seeds - 1)) * error
    mean = fmean(differences)
    return Interval(low=mean - reach, high=mean + reach)


def _rank_key(trials: Sequence[TrialResult]) -> tuple[bool, bool, bool, float]:
    finished = _finished(trials)
    if not finished:
        return (True, True, True, 0.0)
    accuracy = fmean(measures.validation_accuracy for measures in finished.values())
    is_harmful = any(measures.is_harmful for measures in finished.values())
    return (False, is_harmful, len(finished) < len(trials), -accuracy)


def _finished(trials: Sequence[TrialResult]) -> dict[int, TrialMeasures]:
    """Measures by seed."""
    return {trial.seed: trial.measures for trial in trials if trial.measures is not None}


def _joined(
    trials: Sequence[TrialResult], seeds: Sequence[int], answers: TestAnswers
) -> npt.NDArray[np.bool_]:
    """Answers with all `seeds`, side by side: Q x (S K)."""
    by_seed = {trial.seed: answers[trial.run_id] for trial in trials if trial.measures}
    return np.concatenate([by_seed[seed] for seed in seeds], axis=1)


def _common_seeds(winner: Sequence[TrialResult], other: Sequence[TrialResult]) -> tuple[int, ...]:
    """Seeds with which both finished."""
    return tuple(seed for seed in _finished(winner) if seed in _finished(other))


def _by_seed(
    winner: Sequence[TrialResult],
    other: Sequence[TrialResult],
    seeds: Sequence[int],
    answers: TestAnswers,
) -> tuple[float, ...]:
    def accuracy(trials: Sequence[TrialResult], seed: int) -> float:
        return float(_joined(trials, [seed], answers).mean())

    return tuple(accuracy(winner, seed) - accuracy(other, seed) for seed in seeds)


def _result(
    trials: Sequence[TrialResult],
    to_winner: ToWinner | None,
    answers: TestAnswers,
    config: SelectionConfig,
    seed: int,
) -> VariantResult:
    finished = _finished(trials)
    measures = list(finished.values())
    validation = [each.validation_accuracy for each in measures]
    names = list(measures[0].test_accuracies) if measures else []
    tests = {name: [each.test_accuracies[name] for each in measures] for name in names}
    joined_QK = _joined(trials, list(finished), answers) if finished else None
    return VariantResult(
        variant=trials[0].variant,
        num_trials=len(trials),
        num_finished=len(measures),
        num_harmful=sum(each.is_harmful for each in measures),
        validation_accuracy=fmean(validation) if validation else None,
        validation_spread=stdev(validation) if len(validation) > 1 else None,
        test_accuracies={name: fmean(values) for name, values in tests.items()},
        test_interval=(None if joined_QK is None else bootstrap_interval(joined_QK, config, seed)),
        to_winner=to_winner,
    )

"""The paragraph that a sweep ends with: which reward won, by how much, and how certain that is."""

from collections.abc import Sequence

from relex.selection.wording import show_accuracy, show_difference
from relex.sweep.leaderboard import ToWinner, TrialResult, VariantResult

FEW_SEEDS = 5


def verdict(
    variants: Sequence[VariantResult],
    trials: Sequence[TrialResult],
    benchmark: str,
    base_test_accuracy: float | None,
    confidence: float,
) -> str:
    """A few lines, the first of which says who won; `variants` best first."""
    winner, *others = variants
    if not winner.num_finished:
        return f"No trial finished.\n{_unfinished(trials)}"
    if winner.num_harmful:
        opening = "Every variant made the model worse than the untouched base; nothing wins."
        parts = [opening, *_harmful(variants), _unfinished(trials)]
        return "\n".join(part for part in parts if part)
    parts = [
        _opening(winner, benchmark, base_test_accuracy),
        *_comparisons(winner, others, benchmark, confidence),
        *_harmful(variants),
        _unfinished(trials),
    ]
    return "\n".join(part for part in parts if part)


def _opening(winner: VariantResult, benchmark: str, base_test_accuracy: float | None) -> str:
    assert winner.validation_accuracy is not None and winner.test_interval is not None
    reached = show_accuracy(winner.test_accuracies[benchmark], winner.test_interval)
    base = "" if base_test_accuracy is None else f" (the untouched model {base_test_accuracy:.3f})"
    return (
        f"{winner.variant} is best on validation, {winner.validation_accuracy:.3f} on average over "
        f"{_count(winner.num_finished, 'seed')}, and reaches {reached} on the test questions of "
        f"{benchmark}{base}."
    )


def _comparisons(
    winner: VariantResult, others: Sequence[VariantResult], benchmark: str, confidence: float
) -> list[str]:
    compared = [(other, other.to_winner) for other in others if other.to_winner is not None]
    if not compared:
        return ["No other variant finished with the same seeds, so there is nothing to compare."]
    # The hardest to beat, which need not be the second of the ranking.
    nearest, to_nearest = min(compared, key=lambda pair: pair[1].test.difference)
    close = [other for other, to_winner in compared if to_winner.test.p_value > 1 - confidence]
    return [
        _gap(nearest, to_nearest, len(compared), confidence),
        _not_beaten([other for other in close if other is not nearest]),
        _seeds(to_nearest, confidence),
    ]


def _gap(nearest: VariantResult, to_nearest: ToWinner, num_compared: int, confidence: float) -> str:
    together = f" for all {num_compared} together" if num_compared > 1 else ""
    chance = f"p = {to_nearest.test.p_value:.2g}{together}; the limit is {1 - confidence:.2g}"
    gap = show_difference(to_nearest.test)
    if to_nearest.test.difference <= 0:
        return (
            f"But on the test questions it is not ahead of {nearest.variant}: the difference is "
            f"{gap}. Take the two for equal."
        )
    which = "the other variant" if num_compared == 1 else "the nearest of the others there"
    is_clear = to_nearest.test.p_value <= 1 - confidence
    certainty = "more than chance explains" if is_clear else "no more than chance explains"
    return f"That is {gap} ahead of {nearest.variant}, {which}, which is {certainty} ({chance})."


def _not_beaten(others: Sequence[VariantResult]) -> str:
    if not others:
        return ""
    names = ", ".join(other.variant for other in others)
    return f"Neither is it clearly better than {names}."


def _seeds(to_nearest: ToWinner, confidence: float) -> str:
    """Whether another seed would say the same."""
    if to_nearest.seed_interval is None:
        return "One seed cannot tell what another seed would give."
    differences = ", ".join(f"{difference:+.3f}" for difference in to_nearest.by_seed)
    interval = to_nearest.seed_interval
    num_seeds = len(to_nearest.seeds)
    is_ahead = interval.low > 0
    few = f"{num_seeds} seeds are few, {'yet' if is_ahead else 'and'} " * (num_seeds < FEW_SEEDS)
    holds = "show" if is_ahead else "do not show"
    return (
        f"By seed the difference is {differences}: {few}alone they {holds} that another seed "
        f"would be ahead too ({confidence:.0%} interval {interval.low:+.3f} to "
        f"{interval.high:+.3f})."
    )


def _harmful(variants: Sequence[VariantResult]) -> list[str]:
    return [
        f"{variant.variant}: in {variant.num_harmful} of {_count(variant.num_finished, 'trial')} "
        "training made the model clearly worse than the base; look at the reward."
        for variant in variants
        if variant.num_harmful
    ]


def _unfinished(trials: Sequence[TrialResult]) -> str:
    """Every variant with trials that have no numbers, with the reasons."""
    sentences = []
    for variant in dict.fromkeys(trial.variant for trial in trials):
        own = [trial for trial in trials if trial.variant == variant]
        ended: dict[str, list[str]] = {}
        for trial in own:
            if trial.measures is None:
                ended.setdefault(trial.status, []).append(trial.reason)
        for status, reasons in ended.items():
            told = "; ".join(dict.fromkeys(reasons))
            count = f"{len(reasons)} of {_count(len(own), 'trial')}"
            sentences.append(f"{variant}: {count} {status} ({told}).")
    return "\n".join(sentences)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"

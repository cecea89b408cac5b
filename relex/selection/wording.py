"""Numbers and choices in words, the same in the terminal, the report and every table."""

from relex.selection.decision import CandidateResult
from relex.selection.intervals import Interval
from relex.selection.paired import PairedTest


def show_interval(interval: Interval) -> str:
    """`[0.712, 0.764]`."""
    return f"[{interval.low:z.3f}, {interval.high:z.3f}]"


def show_accuracy(accuracy: float, interval: Interval) -> str:
    """`0.738 [0.712, 0.764]`."""
    return f"{accuracy:.3f} {show_interval(interval)}"


def show_difference(test: PairedTest) -> str:
    """`+0.147 [0.121, 0.173]`."""
    return f"{test.difference:+z.3f} {show_interval(test.interval)}"


def explain_no_target(last: CandidateResult) -> str:
    """Why the last observed step is kept when there is nothing to compare it with."""
    return f"{_kept(last)} with {_accuracy(last)}: no target was measured."


def explain_chosen(last: CandidateResult, best: CandidateResult, chance: str, rank: str) -> str:
    """Why the best target is chosen; `chance` and `rank` from the functions below."""
    assert best.to_last_observed is not None
    gain = show_accuracy(best.to_last_observed.difference, best.to_last_observed.interval)
    return (
        f"{best.candidate.label}, {rank}, is chosen: its {_accuracy(best)} is {gain} above the "
        f"{show_accuracy(last.accuracy, last.interval)} of {last.candidate.label}, the last step "
        f"trained, which is more than chance explains ({chance})."
    )


def explain_kept(last: CandidateResult, best: CandidateResult, chance: str, rank: str) -> str:
    """Why the last observed step is kept although a target was measured."""
    assert best.to_last_observed is not None
    reached = show_accuracy(best.accuracy, best.interval)
    opening = f"{_kept(last)} with {_accuracy(last)}: {rank}, {best.candidate.label},"
    if best.to_last_observed.difference < 0:
        return f"{opening} reaches only {reached}."
    if best.to_last_observed.difference == 0:
        return f"{opening} reaches the same and no more."
    return (
        f"{opening} reaches {reached}, but a difference of "
        f"{show_difference(best.to_last_observed)} can be chance ({chance})."
    )


def show_rank(num_targets: int) -> str:
    """What makes the best target the best."""
    return "the only target" if num_targets == 1 else f"the best of {num_targets} targets"


def show_chance(corrected_p_value: float, num_targets: int, confidence: float) -> str:
    """The corrected p-value beside the limit that it has to reach."""
    corrected = f", corrected for {num_targets} targets" if num_targets > 1 else ""
    return f"p = {corrected_p_value:.2g}{corrected}; the limit is {1 - confidence:.2g}"


def _kept(last: CandidateResult) -> str:
    return f"Step {last.candidate.step}, the last step trained, is kept"


def _accuracy(result: CandidateResult) -> str:
    return f"validation accuracy {show_accuracy(result.accuracy, result.interval)}"

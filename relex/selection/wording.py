"""Numbers and choices in words, the same in the terminal, the report and every table."""

from collections.abc import Sequence

from relex.config import SelectionConfig
from relex.selection.decision import CandidateResult
from relex.selection.intervals import Interval
from relex.selection.paired import PairedTest

NOTHING, SHOWN_AS_ZERO = 1e-6, 5e-4
"""Between these an end of an interval has more digits."""


def show_interval(interval: Interval) -> str:
    """`[0.712, 0.764]`; an end that is not zero does not look like it."""
    return f"[{_show_end(interval.low)}, {_show_end(interval.high)}]"


def _show_end(end: float) -> str:
    is_small = NOTHING < abs(end) < SHOWN_AS_ZERO
    return f"{end:.1g}" if is_small else f"{end:z.3f}"


def show_accuracy(accuracy: float, interval: Interval) -> str:
    """`0.738 [0.712, 0.764]`."""
    return f"{accuracy:.3f} {show_interval(interval)}"


def show_difference(test: PairedTest) -> str:
    """`+0.147 [0.121, 0.173]`."""
    return f"{test.difference:+z.3f} {show_interval(test.interval)}"


def show_changes(test: PairedTest) -> str:
    """Repairs and regressions: `+120 / -30`."""
    return f"+{test.repairs} / -{test.regressions}"


def explain_no_rival(last: CandidateResult, num_rivals: int) -> str:
    """Why the last observed step is kept when nothing can take its place."""
    why = "no other candidate answered all questions" if num_rivals else "nothing else was measured"
    return f"{_kept(last)} with {_accuracy(last)}: {why}."


def explain_chosen(
    last: CandidateResult,
    ranked: Sequence[CandidateResult],
    chosen: CandidateResult,
    num_rivals: int,
    config: SelectionConfig,
) -> str:
    """Why a rival is chosen, and why not those that are more accurate and stand before it."""
    assert chosen.to_last_observed is not None
    gain = show_accuracy(chosen.to_last_observed.difference, chosen.to_last_observed.interval)
    before = ranked[: ranked.index(chosen)]
    rank = f", {show_rank(num_rivals)}," if not before else ""
    sentence = (
        f"{chosen.candidate.words}{rank} is chosen: its {_accuracy(chosen)} is {gain} above the "
        f"{show_accuracy(last.accuracy, last.interval)} of {last.candidate.key}, the last step "
        f"trained, which is more than {least(config)} ({_chance(chosen, num_rivals, config)})."
    )
    return " ".join([sentence, *(_passed_over(result) for result in before)])


def explain_kept(
    last: CandidateResult,
    ranked: Sequence[CandidateResult],
    num_rivals: int,
    config: SelectionConfig,
) -> str:
    """Why the last observed step is kept although rivals were measured."""
    best, others = ranked[0], ranked[1:]
    reached = show_accuracy(best.accuracy, best.interval)
    opening = (
        f"{_kept(last)} with {_accuracy(last)}: {show_rank(num_rivals)}, {best.candidate.key},"
    )
    stopped = [_passed_over(result) for result in others if result.passes(config.confidence)]
    return " ".join([f"{opening} {_shortfall(best, reached, num_rivals, config)}", *stopped])


def _shortfall(
    best: CandidateResult, reached: str, num_rivals: int, config: SelectionConfig
) -> str:
    """What the best candidate lacks."""
    test = best.to_last_observed
    assert test is not None
    if best.passes(config.confidence):
        return f"reaches {reached}, but {show_flags(best)}."
    if test.difference < 0:
        return f"reaches only {reached}."
    if test.difference == 0:
        return "reaches the same and no more."
    return (
        f"reaches {reached}, but a difference of {show_difference(test)} is not more than "
        f"{least(config)} ({_chance(best, num_rivals, config)})."
    )


def show_flags(result: CandidateResult) -> str:
    """`raises a red flag: 12% of its answers end in a loop, before 1%`."""
    flags = "a red flag" if len(result.flags) == 1 else "red flags"
    return f"raises {flags}: {'; '.join(flag.words for flag in result.flags)}"


def show_rank(num_rivals: int) -> str:
    """What makes the best candidate the best."""
    return "the only other candidate" if num_rivals == 1 else f"the best of {num_rivals} candidates"


def _chance(result: CandidateResult, num_rivals: int, config: SelectionConfig) -> str:
    """The p-value beside the limit that it has to reach."""
    assert result.to_last_observed is not None
    together = f" for all {num_rivals} together" if num_rivals > 1 else ""
    limit = 1 - config.confidence
    return f"p = {result.to_last_observed.p_value:.2g}{together}; the limit is {limit:.2g}"


def least(config: SelectionConfig) -> str:
    """What a gain has to exceed."""
    required = f"the required {config.require_gain:g} and " if config.require_gain else ""
    return f"{required}chance explains"


def _passed_over(result: CandidateResult) -> str:
    """Why a more accurate candidate is not the chosen one."""
    reached = show_accuracy(result.accuracy, result.interval)
    why = f"but {show_flags(result)}" if result.flags else "which can be chance"
    return f"{result.candidate.key} reaches {reached}, {why}."


def _kept(last: CandidateResult) -> str:
    return f"{last.candidate.key}, the last step trained, is kept"


def _accuracy(result: CandidateResult) -> str:
    return f"validation accuracy {show_accuracy(result.accuracy, result.interval)}"

"""Numbers and choices in words, the same in the terminal, the report and every table."""

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Words:
    """Explains a choice."""

    bar: CandidateResult
    """What had to be beaten."""

    ranked: Sequence[CandidateResult]
    """The rivals that were tested against it, the most accurate first."""

    num_rivals: int
    """All that were tried."""

    config: SelectionConfig

    def harm(self, last: CandidateResult) -> str:
        """That the base, which is the bar, is clearly better than the last step trained."""
        test = self.bar.to_last_observed
        assert test is not None
        gain = show_accuracy(test.difference, test.interval)
        return (
            f"Training made the model worse: the {_accuracy(last)} of {_named(last)}, is {gain} "
            f"below the {show_accuracy(self.bar.accuracy, self.bar.interval)} of "
            f"{_named(self.bar)}, which is more than chance explains "
            f"({self._chance(test)}). Look at the reward. "
        )

    def chosen(self, chosen: CandidateResult) -> str:
        """Why a rival is chosen, and why not those that are more accurate and stand before it."""
        test = self._test(chosen)
        gain = show_accuracy(test.difference, test.interval)
        before = self.ranked[: self.ranked.index(chosen)]
        rank = f", {self._rank()}," if not before else ""
        sentence = (
            f"{chosen.candidate.words}{rank} is chosen: its {_accuracy(chosen)} is {gain} above "
            f"the {show_accuracy(self.bar.accuracy, self.bar.interval)} of {_named(self.bar)}, "
            f"which is more than {least(self.config)} ({self._chance(test)})."
        )
        return " ".join([sentence, *(_passed_over(result) for result in before)])

    def kept(self) -> str:
        """Why the bar is kept."""
        opening = f"{_named(self.bar)}, is kept with {_accuracy(self.bar)}:"
        if not self.num_rivals:
            return f"{opening} nothing else was measured."
        if not self.ranked:
            return f"{opening} no other candidate answered all questions."
        best, *others = self.ranked
        stopped = [_passed_over(result) for result in others if self._passes(result)]
        found = f"{self._rank()}, {best.candidate.key}, {self._shortfall(best)}"
        return " ".join([opening, found, *stopped])

    def _shortfall(self, best: CandidateResult) -> str:
        """What the best rival lacks."""
        test, reached = self._test(best), show_accuracy(best.accuracy, best.interval)
        if self._passes(best):
            return f"reaches {reached}, but {show_flags(best)}."
        if test.difference < 0:
            return f"reaches only {reached}."
        if test.difference == 0:
            return "reaches the same and no more."
        return (
            f"reaches {reached}, but a difference of {show_difference(test)} is not more than "
            f"{least(self.config)} ({self._chance(test)})."
        )

    def _passes(self, result: CandidateResult) -> bool:
        return result.passes(self.config.confidence, self.bar.candidate)

    def _test(self, result: CandidateResult) -> PairedTest:
        test = result.to(self.bar.candidate)
        assert test is not None
        return test

    def _rank(self) -> str:
        """What makes the best candidate the best."""
        number = self.num_rivals
        return "the only other candidate" if number == 1 else f"the best of {number} candidates"

    def _chance(self, test: PairedTest) -> str:
        """The p-value beside the limit that it has to reach."""
        together = f" for all {self.num_rivals} together" if self.num_rivals > 1 else ""
        return f"p = {test.p_value:.2g}{together}; the limit is {1 - self.config.confidence:.2g}"


def show_flags(result: CandidateResult) -> str:
    """`raises a red flag: 12% of its answers end in a loop, before 1%`."""
    flags = "a red flag" if len(result.flags) == 1 else "red flags"
    return f"raises {flags}: {'; '.join(flag.words for flag in result.flags)}"


def least(config: SelectionConfig) -> str:
    """What a gain has to exceed."""
    required = f"the required {config.require_gain:g} and " if config.require_gain else ""
    return f"{required}chance explains"


def _passed_over(result: CandidateResult) -> str:
    """Why a more accurate candidate is not the chosen one."""
    reached = show_accuracy(result.accuracy, result.interval)
    why = f"but {show_flags(result)}" if result.flags else "which can be chance"
    return f"{result.candidate.key} reaches {reached}, {why}."


def _named(bar: CandidateResult) -> str:
    what = "the model before training" if bar.candidate.is_base else "the last step trained"
    return f"{bar.candidate.key}, {what}"


def _accuracy(result: CandidateResult) -> str:
    return f"validation accuracy {show_accuracy(result.accuracy, result.interval)}"

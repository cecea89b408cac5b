"""The search for the best candidate beyond the window.

Accuracy over the target rises and then collapses. So on a few questions the search goes outwards
until it clearly falls, looks around the best target (nearer and farther by half a stride, shrunk,
from the newest snapshot, and the baselines without directions), goes on along the secant and the
best of these ways, tries the last step denoised, and lets the better candidates answer more
questions, the best of these all (successive halving, Jamieson and Talwalkar 2016, with common
questions and seeds). Candidates are compared question by question.

With few samples per question a few questions tell nothing. Then more are asked of fewer targets,
which lie farther from each other.

The search depends on nothing but the measurements: whoever keeps them can replay it.

Q questions, K samples per question.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from relex.candidates import BASE, LINE, Candidate, denoised
from relex.config import SearchConfig
from relex.search.grid import (
    COLLAPSE,
    MIN_QUESTIONS,
    QUESTION_FRACTIONS,
    STRIDE,
    WIDE_STRIDE,
    full_grid,
    near_targets,
    neighbours,
    rungs,
    way_outwards,
)
from relex.search.trials import NUM_ERRORS, Graded, Measure, SearchPath, Trials

NUM_WORSE = 2
NUM_SURVIVORS = 6
"""Candidates that answer more than the first questions."""

NUM_FINALISTS = 3
"""Candidates that answer all questions beside the last observed step; the best extrapolated one is
among them unless it is clearly worse than the last observed step."""

NUM_KEPT_FOR = 2
"""Finalists for whom tokens are kept: the best candidate and the best extrapolated one. More come
when there are tokens left."""

PRECISION = 0.01
"""Where the difference of two candidates is known to this, the worse is not followed."""

ALONG_THE_LINE = (LINE, "shrunk", "anchored")
"""Methods that take the paper's direction, the others at the best target."""

BASELINES = ("secant", "scaled_first")
"""Methods that need no direction."""

SEARCHED = (*ALONG_THE_LINE, *BASELINES, "denoised")
"""All methods that a search may try; the fit has to keep what they need."""


@dataclass(frozen=True)
class Found:
    """All candidates that were measured, with the answers to the first questions, and the path."""

    graded: dict[Candidate, Graded]
    path: SearchPath


def search(
    measure: Measure,
    last_step: int,
    num_questions: int,
    config: SearchConfig,
    others: Sequence[Candidate] = (),
    cautious: bool = False,
) -> Found:
    """Search beyond the last observed step.

    `others` (earlier observed or denoised steps) take part from the first questions on. With
    `cautious`, for windows that forecast badly, the nearest targets are tried first; nothing is
    left out for it. The last observed step answers all questions.
    """
    return _Search(measure, last_step, num_questions, config).run(others, cautious)


class _Search:
    def __init__(
        self, measure: Measure, last_step: int, num_questions: int, config: SearchConfig
    ) -> None:
        self._trials = Trials(measure)
        self._last_step, self._config = last_step, config
        self._last = Candidate(step=last_step)
        self._num_questions = num_questions
        self._grid = full_grid(last_step, config)
        self._rivals: list[Candidate] = []
        self._is_broke = False

    def run(self, others: Sequence[Candidate], cautious: bool) -> Found:
        self._trials.measure(self._last, self._num_questions, "what has to be beaten")
        self._trials.measure(BASE, self._num_of_base(), "where it began")
        self._trials.end(BASE, "not a rival")
        num_all = len(self._grid) + 2 + len(others)
        self._grid_tokens = round(num_all * self._cost(self._num_questions))
        correct_QK = self._trials.graded[self._last].correct_QK
        self._rungs = rungs(correct_QK)
        self._stride = self._affordable_stride()
        if cautious:
            self._try_all(
                near_targets(self._last_step, self._config), "near, as it forecasts badly"
            )
        self._go_outwards()
        if self._is_below(self._best_target()):
            self._try_all(near_targets(self._last_step, self._config), "near")
        self._look_around(self._best_target())
        self._try_all([denoised(self._last_step), *others], "trained")
        stopped = self._halve()
        path = SearchPath(
            trials=self._trials.records(),
            stopped=stopped,
            num_questions=self._num_questions,
            num_grid_targets=len(self._grid),
            num_grid_tokens=self._grid_tokens,
        )
        return Found(self._trials.graded, path)

    def _affordable_stride(self) -> float:
        """The wide one when the tokens do not reach to the farthest target and its neighbours."""
        num_questions = self._rungs[0]
        left = self._budget - self._trials.num_tokens - self._reserve(num_questions)
        num_needed = len(way_outwards(self._last_step, self._config)) + 2
        return STRIDE if left >= num_needed * self._cost(num_questions) else WIDE_STRIDE

    def _go_outwards(self) -> None:
        """Try farther and farther targets until accuracy has clearly fallen."""
        num_worse = 0
        for candidate in way_outwards(self._last_step, self._config, self._stride):
            best = self._best_target() or self._last
            if not self._try(candidate, "on the way outwards"):
                return
            to_last = self._trials.compare(candidate, self._last)
            if to_last.is_clearly_below(-COLLAPSE):
                self._trials.end(candidate, "collapsed")
                return
            is_worse = self._trials.compare(candidate, best).is_clearly_below(0.0)
            num_worse = num_worse + 1 if is_worse else 0
            if num_worse == NUM_WORSE:
                return

    def _look_around(self, best: Candidate | None) -> None:
        """Half strides, other ways to reach the same target, and the baselines."""
        if best is None:
            return
        beside = neighbours(best.step, self._last_step, self._config, self._stride)
        self._try_all(beside, "around the best")
        for method in ALONG_THE_LINE[1:]:
            self._try(Candidate(step=best.step, method=method), "around the best")
        for method in BASELINES:
            self._try(Candidate(step=best.step, method=method), "baseline")
        # Secants have their top elsewhere, and it is often the highest (docs/study.md).
        self._walk(Candidate(step=best.step, method="secant"))
        self._walk(self._ranked(self._rivals)[0])

    def _walk(self, start: Candidate) -> None:
        """Half strides along the way of `start`, as long as one of them is better."""
        best = start
        while best in self._trials and best.is_beyond:
            beside = neighbours(best.step, self._last_step, self._config, self._stride)
            steps = [target.step for target in beside]
            on_the_way = [best.model_copy(update={"step": step}) for step in steps]
            self._try_all(on_the_way, f"beside {best.key}")
            tried = [each for each in (best, *on_the_way) if each in self._trials]
            better = self._ranked(tried)[0]
            if better == best:
                return
            best = better

    def _halve(self) -> str:
        """The better ones answer more questions; returns why the search ended."""
        for num_questions in self._rungs[1:]:
            is_last = num_questions == self._num_questions
            self._rivals = self._better(NUM_FINALISTS if is_last else NUM_SURVIVORS)
            if not self._rivals:
                return f"nothing that was tried can still be better than {self._last.key}"
            reserve = self._reserve(num_questions)
            best, *rest = _by_need(self._rivals)
            self._trials.measure(best, num_questions)
            self._rivals = [best]
            for candidate in rest:
                if self._afford(candidate, num_questions, reserve):
                    self._trials.measure(candidate, num_questions)
                    self._rivals.append(candidate)
                else:
                    self._trials.end(candidate, "no tokens left")
        if self._is_broke:
            return "the best answered all questions; the token budget allowed no more"
        return "the best answered all questions"

    def _better(self, width: int) -> list[Candidate]:
        """The best rivals, best first, without those that cannot matter any more.

        The best extrapolated one stays beside better baselines, so that the report can say what
        the method gives on this window.
        """
        kept: list[Candidate] = []
        for candidate in self._ranked(self._rivals):
            to_last = self._trials.compare(candidate, self._last)
            if to_last.is_clearly_below(0.0):
                why = f"clearly below {self._last.key}"
            elif _is_first_extrapolated(candidate, kept):
                for displaced in kept[max(width - 1, 1) :]:
                    self._trials.end(displaced, f"not among the best {width}")
                kept = [*kept[: max(width - 1, 1)], candidate]
                continue
            else:
                why = self._why_not(candidate, kept, width)
            if why:
                self._trials.end(candidate, why)
            else:
                kept.append(candidate)
        return kept

    def _why_not(self, candidate: Candidate, kept: Sequence[Candidate], width: int) -> str:
        """Why a rival need not be followed beside better ones; empty when it should be."""
        if not kept:
            return ""
        best = kept[0]
        to_best = self._trials.compare(candidate, best)
        if to_best.is_clearly_below(0.0):
            return f"clearly below {best.key}"
        if NUM_ERRORS * to_best.error < PRECISION:
            return f"as good as {best.key}"
        return f"not among the best {width}" if len(kept) >= width else ""

    def _try_all(self, candidates: Sequence[Candidate], why: str) -> None:
        for candidate in candidates:
            self._try(candidate, why)

    def _try(self, candidate: Candidate, why: str) -> bool:
        """On the first questions, unless it is known or costs what a finalist will need."""
        if candidate in self._trials:
            return True
        if not self._afford(candidate, self._rungs[0], self._reserve(self._rungs[0])):
            return False
        self._trials.measure(candidate, self._rungs[0], why)
        self._rivals.append(candidate)
        return True

    def _reserve(self, num_questions: int) -> float:
        """Tokens that finalists need who have answered this many."""
        return NUM_KEPT_FOR * self._cost(self._num_questions - num_questions)

    def _afford(self, candidate: Candidate, num_questions: int, reserve: float) -> bool:
        cost = self._cost(num_questions - self._trials.num_answered(candidate))
        affordable = self._trials.num_tokens + cost + reserve <= self._budget
        self._is_broke |= not affordable
        return affordable

    @property
    def _budget(self) -> float:
        return self._config.budget_fraction * self._grid_tokens

    def _num_of_base(self) -> int:
        """Enough to tell how answers spread: the base is no rival of anything."""
        return max(MIN_QUESTIONS, round(QUESTION_FRACTIONS[-1] * self._num_questions))

    def _cost(self, num_questions: int) -> float:
        return num_questions * self._trials.graded[self._last].tokens_per_question

    def _ranked(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The most accurate on common questions first; of equals, the one of the earlier step."""
        fewest = min((self._trials.num_answered(each) for each in candidates), default=0)
        return sorted(
            candidates, key=lambda each: (-self._trials.accuracy(each, fewest), each.step)
        )

    def _best_target(self) -> Candidate | None:
        targets = [rival for rival in self._rivals if rival.method == LINE]
        return self._ranked(targets)[0] if targets else None

    def _is_below(self, candidate: Candidate | None) -> bool:
        return candidate is None or self._trials.compare(candidate, self._last).difference <= 0


def _by_need(rivals: Sequence[Candidate]) -> list[Candidate]:
    """In the order in which they get tokens: the best, the best extrapolated one, the others."""
    extrapolated = [rival for rival in rivals if rival.method in ALONG_THE_LINE]
    return list(dict.fromkeys([rivals[0], *extrapolated[:1], *rivals]))


def _is_first_extrapolated(candidate: Candidate, kept: Sequence[Candidate]) -> bool:
    is_first = all(other.method not in ALONG_THE_LINE for other in kept)
    return candidate.method in ALONG_THE_LINE and is_first

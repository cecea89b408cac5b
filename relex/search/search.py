"""The search for the best candidate beyond the window.

Accuracy over the target rises and then collapses, with all tensors early and with some of them
late. So on a few questions the search goes outwards until it clearly falls: along the paper's line
with all tensors, then along the secant with the MLPs of the upper half of the layers, with all of
that half, and with the halves of the better of these. It looks around the best of every way, tries
the secant of all tensors and the last step denoised, and lets the better candidates answer more
questions, the best of these all (successive halving, Jamieson and Talwalkar 2016, with common
questions and seeds). Candidates are compared question by question.

With few samples per question a few questions tell nothing, so more are asked of fewer targets. It
depends on nothing but the measurements: whoever keeps them can replay it, and what it will probably
ask next it says ahead, so that several engines have something to do.

Q questions, K samples per question.
"""

from collections.abc import Collection, Sequence
from itertools import zip_longest

from relex.candidates import BASE, DENOISED, LINE, Candidate, denoised
from relex.config import SearchConfig
from relex.parts import find_part
from relex.search.grid import (
    COLLAPSE,
    MIN_QUESTIONS,
    QUESTION_FRACTIONS,
    SECANT,
    Way,
    full_grid,
    halves,
    rungs,
    upper_half,
    way_of,
)
from relex.search.trials import NUM_ERRORS, Expect, Found, Measure, SearchPath, Trials

NUM_WORSE = 2
NUM_SURVIVORS = 6
"""Candidates that answer more than the first questions."""

NUM_FINALISTS = 3
"""Candidates that answer all questions beside the last observed step; the best one on the paper's
line is among them unless it is clearly worse than the last observed step."""

NUM_KEPT_FOR = 2
"""Finalists for whom tokens are kept: the best candidate and the best one on the line. More come
when there are tokens left."""

PRECISION = 0.01
"""Where the difference of two candidates is known to this, the worse is not followed."""

SEARCHED = (LINE, SECANT, DENOISED)
"""All methods that a search may try; the fit has to keep what they need."""


def search(
    measure: Measure,
    last_step: int,
    num_questions: int,
    config: SearchConfig,
    others: Sequence[Candidate] = (),
    cautious: bool = False,
    tensors: Collection[str] = (),
    expect: Expect = lambda trials: None,
) -> Found:
    """Search beyond the last observed step, with all tensors and with parts of `tensors`.

    `others` (earlier observed or denoised steps) take part from the first questions on. With
    `cautious`, for windows that forecast badly, the nearest targets are tried first; nothing is
    left out for it. `tensors` are the names of those that moved in the window. The last observed
    step answers all questions. `expect` is told ahead what will probably be measured.
    """
    trials = Trials(measure, expect)
    return _Search(trials, last_step, num_questions, config).run(others, cautious, tensors)


class _Search:
    def __init__(
        self, trials: Trials, last_step: int, num_questions: int, config: SearchConfig
    ) -> None:
        self._trials = trials
        self._last_step, self._config = last_step, config
        self._last = Candidate(step=last_step)
        self._num_questions = num_questions
        self._line = self._way(LINE, "")
        self._rivals: list[Candidate] = []
        self._is_broke = False

    def run(self, others: Sequence[Candidate], cautious: bool, tensors: Collection[str]) -> Found:
        self._trials.measure(self._last, self._num_questions, "what has to be beaten")
        num_of_base = max(MIN_QUESTIONS, round(QUESTION_FRACTIONS[-1] * self._num_questions))
        self._trials.measure(BASE, num_of_base, "where it began")
        num_targets = len(full_grid(self._last_step, self._config))
        num_all = num_targets + 2 + len(others)
        self._grid_tokens = round(num_all * self._cost(self._num_questions))
        self._rungs = rungs(self._trials.graded[self._last].correct_QK)
        if cautious:
            self._try_all(self._line.near(), "near, as it forecasts badly")
        self._go_outwards(self._line)
        if self._is_below(self._best_on(self._line)):
            self._try_all(self._line.near(), "near")
        self._search_parts(tensors)
        self._follow_the_secant()
        self._refine()
        self._try_all([denoised(self._last_step), *others], "trained")
        self._follow_the_base()
        stopped = self._halve()
        path = SearchPath(
            trials=self._trials.records(),
            stopped=stopped,
            num_questions=self._num_questions,
            num_grid_targets=num_targets,
            num_grid_tokens=self._grid_tokens,
        )
        return Found(self._trials.graded, path)

    def _follow_the_base(self) -> None:
        """It answers all questions unless it is clearly below the last observed step: where it is
        above, training made the model worse, and the choice has to know."""
        for num_questions in self._rungs[1:]:
            if self._trials.compare(BASE, self._last).is_clearly_below(0.0):
                self._trials.end(BASE, f"clearly below {self._last.key}")
                return
            if num_questions > self._trials.num_answered(BASE):
                self._trials.measure(BASE, num_questions)

    def _search_parts(self, tensors: Collection[str]) -> None:
        """The ways outwards with parts, and with halves of the better one."""
        ways = [self._way(SECANT, part.text) for part in upper_half(tensors)]
        for number in range(len(ways)):
            self._go_outwards(*ways[number:])
        best = self._best_on(*ways)
        if best is not None and not self._is_below(best):
            self._halve_part(self._walk(best), tensors)

    def _refine(self) -> None:
        """What lies beside the best on the line, and nearer beside the best of all."""
        on_the_line = self._best_on(self._line)
        if on_the_line is not None:
            self._walk(on_the_line)
            best = self._best_of(self._rivals)
            finer = self._way(best.method, best.part).neighbours(best.step, 0.25)
            self._try_all(finer, f"nearer beside {best.key}")

    def _halve_part(self, best: Candidate, tensors: Collection[str]) -> None:
        """The halves of a candidate's part, and so on with a half that is better than the whole."""
        parts = [part.text for part in halves(find_part(best.part), tensors)]
        tried = [best.model_copy(update={"part": part}) for part in parts]
        self._try_all(tried, f"half of {best.key}")
        better = self._best_of([best, *tried])
        if better != best:
            self._halve_part(self._walk(better), tensors)

    def _way(self, method: str, part: str) -> Way:
        return way_of(method, part, self._last_step, self._config)

    def _go_outwards(self, way: Way, *later: Way) -> None:
        """Try farther and farther targets until accuracy has clearly fallen; later it goes along
        other ways."""
        turns = zip_longest(way.outwards(), *(other.outwards() for other in later))
        self._trials.expect([each for turn in turns for each in turn if each], self._rungs[0])
        num_worse = 0
        for candidate in way.outwards():
            best = self._best_on(way) or self._last
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

    def _follow_the_secant(self) -> None:
        """The secant of all tensors from the line's best target on; its top lies elsewhere."""
        best = self._best_on(self._line)
        if best is not None:
            secant = Candidate(step=best.step, method=SECANT)
            if self._try(secant, f"instead of {best.key}"):
                self._walk(secant)

    def _walk(self, best: Candidate) -> Candidate:
        """Half strides along the way of a candidate, as long as one of them is better; the best."""
        on_the_way = self._way(best.method, best.part).neighbours(best.step)
        self._try_all(on_the_way, f"beside {best.key}")
        better = self._best_of([best, *on_the_way])
        return best if better == best else self._walk(better)

    def _halve(self) -> str:
        """The better ones answer more questions; returns why the search ended."""
        for num_questions in self._rungs[1:]:
            is_last = num_questions == self._num_questions
            self._rivals = self._better(NUM_FINALISTS if is_last else NUM_SURVIVORS)
            if not self._rivals:
                return f"nothing that was tried can still be better than {self._last.key}"
            reserve = self._reserve(num_questions)
            best, *rest = _by_need(self._rivals)
            self._trials.expect([best, *rest], num_questions)
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

        The best one on the line stays beside better ones, so that the report can say what the
        paper's method gives on this window.
        """
        kept: list[Candidate] = []
        for candidate in self._trials.ranked(self._rivals):
            to_last = self._trials.compare(candidate, self._last)
            if to_last.is_clearly_below(0.0):
                why = f"clearly below {self._last.key}"
            elif candidate.is_on_the_line and not any(each.is_on_the_line for each in kept):
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
        self._trials.expect(candidates, self._rungs[0])
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

    def _cost(self, num_questions: int) -> float:
        return num_questions * self._trials.graded[self._last].tokens_per_question

    def _best_of(self, candidates: Sequence[Candidate]) -> Candidate:
        return self._trials.ranked([each for each in candidates if each in self._trials])[0]

    def _best_on(self, *ways: Way) -> Candidate | None:
        on_them = [rival for rival in self._rivals if any(way.holds(rival) for way in ways)]
        return self._best_of(on_them) if on_them else None

    def _is_below(self, candidate: Candidate | None) -> bool:
        return candidate is None or self._trials.compare(candidate, self._last).difference <= 0


def _by_need(rivals: Sequence[Candidate]) -> list[Candidate]:
    """In the order in which they get tokens: the best, the best on the line, the others."""
    on_the_line = [rival for rival in rivals if rival.is_on_the_line]
    return list(dict.fromkeys([rivals[0], *on_the_line[:1], *rivals]))

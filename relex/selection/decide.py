"""The rule that chooses what is published.

The last observed step is what was trained, and stays unless something is better. Its rivals are all
other candidates: the base, earlier observed steps, denoised ones, and all that lies beyond the
window. Those that answered all questions are tested against it together (`paired`): one-sided, the
hypothesis being that none gains more than `require_gain`, and the base nothing at all. A rival that
a search dropped after a few questions could not have been chosen and is not tested, but it was a
try that chance had on these questions, and counts as that.

Where the base passes, training made the model worse, and the base is what has to be beaten: the
others are tested against it in the same way, and those that were only better than the last observed
step are not better than nothing. The second test is made only when the first has shown the harm, so
each may spend all of its 5 %.

Of the rivals that are better than this bar at the recipe's confidence and raise no red flag
(`red_flags`) the most accurate is chosen (of equals, the one of the earlier step). When there is
none, the bar is kept: never anything worse than was trained, nor than the base.

Q questions, K samples per question.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from relex.candidates import BASE, Candidate
from relex.config import SelectionConfig
from relex.errors import InputError
from relex.selection.decision import CandidateResult, Decision
from relex.selection.facts import accuracy_by_group, pass_at_each
from relex.selection.intervals import bootstrap_interval
from relex.selection.measured import (
    Measured,
    check_answers,
    in_order,
    last_observed,
)
from relex.selection.paired import PairedTest, is_exact, paired_test, paired_tests
from relex.selection.red_flags import GuardResult, red_flags
from relex.selection.wording import Words

Guards = Mapping[str, Sequence[Measured]]
"""Measured candidates by benchmark of the regression guard."""
MeasureGuards = Callable[[Sequence[Candidate]], Mapping[str, Sequence[Measured]]]
"""Gives, by guard benchmark, the candidates that it is called with."""


def decide(
    measured: Sequence[Measured], config: SelectionConfig, seed: int, guards: Guards | None = None
) -> Decision:
    """Compare every candidate with the last observed step and the base, and choose.

    `guards` may hold any of the candidates; who chooses for good has the chosen and the last
    observed step among them.

    Raises InputError when no observed step was measured, a candidate is listed twice, the answers
    do not match, or `config.num_resamples` is too small for any rival to be chosen.
    """
    ordered = in_order(measured)
    last = last_observed(ordered)
    check_answers(ordered, last)
    _check_resamples(ordered, last, config)
    num_questions, num_samples = last.correct_QK.shape
    results = _results(ordered, last, guards or {}, config, seed)
    bar = _bar(results, last.candidate, config)
    chosen, reason = _choose(results, bar, last.candidate, config)
    return Decision(
        results=results,
        last_observed=last.candidate,
        bar=bar,
        chosen=chosen,
        reason=reason,
        confidence=config.confidence,
        require_gain=config.require_gain,
        num_resamples=config.num_resamples,
        num_questions=num_questions,
        samples_per_question=num_samples,
    )


def _results(
    ordered: Sequence[Measured], last: Measured, guards: Guards, config: SelectionConfig, seed: int
) -> tuple[CandidateResult, ...]:
    to_last = _compared(ordered, last.candidate, config, seed)
    to_base = _compared(ordered, BASE, config, seed)
    results = []
    for m in ordered:
        guarded = _guard_results(m.candidate, last.candidate, guards, config, seed)
        test = to_last.get(m.candidate)
        is_tested = m is not last and len(m.correct_QK) == len(last.correct_QK)
        results.append(
            CandidateResult(
                candidate=m.candidate,
                num_questions=len(m.correct_QK),
                accuracy=float(m.correct_QK.mean()),
                interval=bootstrap_interval(m.correct_QK, config, seed),
                to_last_observed=test,
                is_tested=is_tested,
                to_base=to_base.get(m.candidate),
                pass_at=pass_at_each(m.correct_QK, config, seed),
                by_group=accuracy_by_group(m.correct_QK, m.group_Q, config, seed),
                habits=m.habits,
                guards=guarded,
                flags=red_flags(m.habits, last.habits, test, guarded, config)
                if is_tested and test and not m.candidate.is_base
                else (),
            )
        )
    return tuple(results)


def _compared(
    measured: Sequence[Measured], reference: Candidate, config: SelectionConfig, seed: int
) -> dict[Candidate, PairedTest]:
    """All others against `reference`; empty when it was not measured.

    Those that answered as many questions as any are tested together, the others alone.
    """
    answers = {m.candidate: m.correct_QK for m in measured}
    of_reference = answers.pop(reference, None)
    if of_reference is None or not answers:
        return {}
    num_all = max(len(m.correct_QK) for m in measured)
    pairs = {candidate: (correct_QK, of_reference) for candidate, correct_QK in answers.items()}
    complete = [candidate for candidate, pair in pairs.items() if len(pair[0]) == num_all]
    short = [candidate for candidate in pairs if candidate not in complete]
    tests = {candidate: paired_test(*pairs[candidate], config, seed) for candidate in short}
    if complete:
        gains = [0.0 if candidate.is_base else config.require_gain for candidate in complete]
        tested, dropped = ([pairs[each] for each in part] for part in (complete, short))
        together = paired_tests(tested, config, seed, dropped, gains)
        tests |= dict(zip(complete, together, strict=True))
    return tests


def _guard_results(
    candidate: Candidate, last: Candidate, guards: Guards, config: SelectionConfig, seed: int
) -> tuple[GuardResult, ...]:
    return tuple(
        GuardResult(
            benchmark=benchmark,
            accuracy=float(m.correct_QK.mean()),
            to_last_observed=_compared(measured, last, config, seed).get(candidate),
        )
        for benchmark, measured in guards.items()
        for m in measured
        if m.candidate == candidate
    )


def _bar(results: Sequence[CandidateResult], last: Candidate, config: SelectionConfig) -> Candidate:
    """The last observed step, or the base where that is clearly better."""
    is_harmed = any(r.candidate.is_base and r.passes(config.confidence, last) for r in results)
    return BASE if is_harmed else last


def _choose(
    results: Sequence[CandidateResult], bar: Candidate, last: Candidate, config: SelectionConfig
) -> tuple[Candidate, str]:
    """The chosen candidate and the reason."""
    of = {result.candidate: result for result in results}
    rivals = [result for result in results if result.is_tested and result.candidate != bar]
    ranked = sorted(rivals, key=lambda result: (-result.accuracy, result.candidate.step))
    better = [r for r in ranked if r.passes(config.confidence, bar) and not r.flags]
    words = Words(of[bar], ranked, len(results) - 1, config)
    harm = words.harm(of[last]) if bar != last else ""
    if better:
        return better[0].candidate, f"{harm}{words.chosen(better[0])}"
    return bar, f"{harm}{words.kept()}"


def _check_resamples(ordered: Sequence[Measured], last: Measured, config: SelectionConfig) -> None:
    """The smallest p-value that resampling can give must be able to pass the test."""
    num_rivals = len(ordered) - 1
    limit = 1 - config.confidence
    needed = math.ceil(1 / limit) - 1
    is_resampled = num_rivals and not is_exact(num_rivals, last.correct_QK.shape[1], config)
    if is_resampled and config.num_resamples < needed:
        raise InputError(
            f"selection.num_resamples: {config.num_resamples} resamples cannot give the p-value of "
            f"{limit:.2g} that confidence {config.confidence:g} asks for; use at least {needed}"
        )


def decide_guarded(
    measured: Sequence[Measured], config: SelectionConfig, seed: int, measure: MeasureGuards
) -> Decision:
    """As `decide`; a candidate that loses on a guard benchmark gives its place to the next.

    `measure` is called with the last observed step and all that had the place so far.
    """
    decision = decide(measured, config, seed)
    guarded: list[Candidate] = []
    while decision.chosen not in (BASE, decision.last_observed, *guarded):
        guarded.append(decision.chosen)
        guards = measure([decision.last_observed, *guarded])
        decision = decide(measured, config, seed, guards)
    return decision

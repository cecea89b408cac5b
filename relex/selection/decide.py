"""The rule that chooses what is published.

The last observed step is what was trained, and stays unless something is better. Its rivals are all
other candidates but the base: earlier observed steps, denoised ones, and all that lies beyond the
window. Those that answered all questions are tested against it together (`paired`): one-sided, the
hypothesis being that none gains more than `require_gain`. A rival that a search dropped after a few
questions could not have been chosen and is not tested, but it was a try that chance had on these
questions, and counts as that.

Of the rivals that pass at the recipe's confidence and raise no red flag (`red_flags`) the most
accurate is chosen (of equals, the one of the earlier step). When there is none, the last observed
step is kept: never anything worse than was trained.

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
    is_rival,
    last_observed,
)
from relex.selection.paired import PairedTest, is_exact, paired_test, paired_tests
from relex.selection.red_flags import GuardResult, red_flags
from relex.selection.wording import (
    explain_chosen,
    explain_kept,
    explain_no_rival,
)

Guards = Mapping[str, Sequence[Measured]]
"""Measured candidates by benchmark of the regression guard."""
MeasureGuards = Callable[[Sequence[Candidate]], Mapping[str, Sequence[Measured]]]
"""Gives, by guard benchmark, the candidates that it is called with."""


def decide(
    measured: Sequence[Measured], config: SelectionConfig, seed: int, guards: Guards | None = None
) -> Decision:
    """Compare every candidate with the last observed step and choose.

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
    ranked = _ranked(results)
    num_rivals = sum(is_rival(m.candidate, last.candidate) for m in ordered)
    of_last = next(result for result in results if result.candidate == last.candidate)
    chosen, reason = _choose(of_last, ranked, num_rivals, config)
    return Decision(
        results=results,
        last_observed=last.candidate,
        chosen=chosen,
        reason=reason,
        confidence=config.confidence,
        require_gain=config.require_gain,
        num_resamples=config.num_resamples,
        num_questions=num_questions,
        samples_per_question=num_samples,
    )


def finalists(decision: Decision) -> tuple[Candidate, ...]:
    """What is measured once on the test questions: the chosen, the last observed and the base."""
    return tuple(dict.fromkeys((decision.chosen, decision.last_observed, BASE)))


def _results(
    ordered: Sequence[Measured], last: Measured, guards: Guards, config: SelectionConfig, seed: int
) -> tuple[CandidateResult, ...]:
    tested = _tested(ordered, last, config, seed)
    untested = [m for m in ordered if m.candidate not in tested]
    to_last = tested | _alone(untested, last.candidate, config, seed)
    to_base = _alone(ordered, BASE, config, seed)
    results = []
    for m in ordered:
        guarded = _guard_results(m.candidate, last.candidate, guards, config, seed)
        test = to_last.get(m.candidate)
        results.append(
            CandidateResult(
                candidate=m.candidate,
                num_questions=len(m.correct_QK),
                accuracy=float(m.correct_QK.mean()),
                interval=bootstrap_interval(m.correct_QK, config, seed),
                to_last_observed=test,
                is_tested=m.candidate in tested,
                to_base=to_base.get(m.candidate),
                pass_at=pass_at_each(m.correct_QK, config, seed),
                by_group=accuracy_by_group(m.correct_QK, m.group_Q, config, seed),
                habits=m.habits,
                guards=guarded,
                flags=red_flags(m.habits, last.habits, test, guarded, config)
                if m.candidate in tested and test
                else (),
            )
        )
    return tuple(results)


def _tested(
    ordered: Sequence[Measured], last: Measured, config: SelectionConfig, seed: int
) -> dict[Candidate, PairedTest]:
    """The rivals that answered all questions, together."""
    rivals = [m for m in ordered if is_rival(m.candidate, last.candidate)]
    num_all = len(last.correct_QK)
    pairs = {m.candidate: (m.correct_QK, last.correct_QK) for m in rivals}
    complete = {rival: pair for rival, pair in pairs.items() if len(pair[0]) == num_all}
    dropped = [pair for pair in pairs.values() if len(pair[0]) < num_all]
    tests = paired_tests(list(complete.values()), config, seed, dropped) if complete else []
    return dict(zip(complete, tests, strict=True))


def _alone(
    measured: Sequence[Measured], reference: Candidate, config: SelectionConfig, seed: int
) -> dict[Candidate, PairedTest]:
    """Each other against `reference`; empty when it was not measured."""
    return {
        m.candidate: paired_test(m.correct_QK, of_reference.correct_QK, config, seed)
        for of_reference in measured
        if of_reference.candidate == reference
        for m in measured
        if m is not of_reference
    }


def _guard_results(
    candidate: Candidate, last: Candidate, guards: Guards, config: SelectionConfig, seed: int
) -> tuple[GuardResult, ...]:
    return tuple(
        GuardResult(
            benchmark=benchmark,
            accuracy=float(m.correct_QK.mean()),
            to_last_observed=_alone(measured, last, config, seed).get(candidate),
        )
        for benchmark, measured in guards.items()
        for m in measured
        if m.candidate == candidate
    )


def _ranked(results: Sequence[CandidateResult]) -> list[CandidateResult]:
    """What was tested, the most accurate first."""
    tested = [result for result in results if result.is_tested]
    return sorted(tested, key=lambda result: (-result.accuracy, result.candidate.step))


def _choose(
    last: CandidateResult,
    ranked: Sequence[CandidateResult],
    num_rivals: int,
    config: SelectionConfig,
) -> tuple[Candidate, str]:
    """The chosen candidate and the reason."""
    if not ranked:
        return last.candidate, explain_no_rival(last, num_rivals)
    for result in ranked:
        if result.passes(config.confidence) and not result.flags:
            return result.candidate, explain_chosen(last, ranked, result, num_rivals, config)
    return last.candidate, explain_kept(last, ranked, num_rivals, config)


def _check_resamples(ordered: Sequence[Measured], last: Measured, config: SelectionConfig) -> None:
    """The smallest p-value that resampling can give must be able to pass the test."""
    num_rivals = sum(is_rival(m.candidate, last.candidate) for m in ordered)
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
    while decision.chosen not in (decision.last_observed, *guarded):
        guarded.append(decision.chosen)
        guards = measure([decision.last_observed, *guarded])
        decision = decide(measured, config, seed, guards)
    return decision

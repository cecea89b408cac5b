"""The rule that chooses what is published.

The last observed step is what was trained, and stays unless something is better. Its rivals are all
other candidates but the base: earlier observed steps, denoised ones, and all that lies beyond the
window. Each is compared with it on the questions that both answered, by a one-sided paired test
whose hypothesis is that the rival gains no more than `require_gain`. Every rival that was measured
is a try that chance had, also one that answered few questions before a search dropped it, so the
p-values are corrected for all of them (Holm).

Of the rivals that answered all questions, pass at the recipe's confidence, and raise no red flag
(`red_flags`), the most accurate is chosen (of equals, the one of the earlier step). When there is
none, the last observed step is kept: never anything worse than was trained.

Q questions, K samples per question.
"""

import math
from collections.abc import Mapping, Sequence

from relex.candidates.candidate import BASE, Candidate
from relex.config import SelectionConfig
from relex.errors import InputError
from relex.selection.decision import CandidateResult, Decision
from relex.selection.facts import accuracy_by_group, pass_at_each
from relex.selection.holm import holm
from relex.selection.intervals import bootstrap_interval
from relex.selection.measured import Measured, check_answers, in_order, last_observed
from relex.selection.paired import PairedTest, is_exact, paired_test
from relex.selection.red_flags import GuardResult, red_flags
from relex.selection.wording import (
    explain_chosen,
    explain_kept,
    explain_no_rival,
    show_rank,
)

Guards = Mapping[str, Sequence[Measured]]
"""Measured candidates by benchmark of the regression guard."""


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
    num_questions, num_samples = last.correct_QK.shape
    results = _results(ordered, last, guards or {}, config, seed)
    ranked = _ranked(results, num_questions)
    num_rivals = sum(result.corrected_p_value is not None for result in results)
    if not is_exact(num_samples, config):
        _check_resamples(num_rivals, config)
    of_last = next(result for result in results if result.candidate == last.candidate)
    chosen, reason = _choose(of_last, ranked, num_rivals, config)
    return Decision(
        results=results,
        last_observed=last.candidate,
        best=ranked[0].candidate if ranked else None,
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
    to_last = _tests(ordered, last.candidate, config, seed)
    to_base = _tests(ordered, BASE, config, seed)
    rivals = [candidate for candidate in to_last if not candidate.is_base]
    corrected = dict(zip(rivals, holm([to_last[rival].p_value for rival in rivals]), strict=True))
    results = []
    for m in ordered:
        guarded = _guard_results(m.candidate, last.candidate, guards, config, seed)
        test = to_last.get(m.candidate)
        can_be_chosen = m.candidate in corrected and len(m.correct_QK) == len(last.correct_QK)
        results.append(
            CandidateResult(
                candidate=m.candidate,
                num_questions=len(m.correct_QK),
                accuracy=float(m.correct_QK.mean()),
                interval=bootstrap_interval(m.correct_QK, config, seed),
                to_last_observed=test,
                corrected_p_value=corrected.get(m.candidate),
                to_base=to_base.get(m.candidate),
                pass_at=pass_at_each(m.correct_QK, config, seed),
                by_group=accuracy_by_group(m.correct_QK, m.group_Q, config, seed),
                habits=m.habits,
                guards=guarded,
                flags=red_flags(m.habits, last.habits, test, guarded, config)
                if can_be_chosen and test
                else (),
            )
        )
    return tuple(results)


def _tests(
    measured: Sequence[Measured], reference: Candidate, config: SelectionConfig, seed: int
) -> dict[Candidate, PairedTest]:
    """All others against `reference`; empty when it was not measured."""
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
            to_last_observed=_tests(measured, last, config, seed).get(candidate),
        )
        for benchmark, measured in guards.items()
        for m in measured
        if m.candidate == candidate
    )


def _ranked(results: Sequence[CandidateResult], num_questions: int) -> list[CandidateResult]:
    """Rivals that answered all questions, the most accurate first."""
    complete = [
        result
        for result in results
        if result.corrected_p_value is not None and result.num_questions == num_questions
    ]
    return sorted(complete, key=lambda result: (-result.accuracy, result.candidate.step))


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


def _check_resamples(num_rivals: int, config: SelectionConfig) -> None:
    """The smallest p-value that resampling can give must be able to pass the corrected test."""
    limit = 1 - config.confidence
    needed = math.ceil(num_rivals / limit) - 1
    if config.num_resamples < needed:
        raise InputError(
            f"selection.num_resamples: {config.num_resamples} resamples cannot give the p-value of "
            f"{limit / num_rivals:.2g} that confidence {config.confidence:g} asks of "
            f"{show_rank(num_rivals)}; use at least {needed}"
        )

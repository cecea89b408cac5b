"""The rule that chooses what is published.

The best target is the extrapolated candidate with the highest validation accuracy (of equals, the
nearer one). It is chosen only if a one-sided paired test against the last observed step says that
it is better. Picking the best of m targets gives chance m tries, so its p-value is multiplied by m
(Bonferroni, which for the best one is Holm's first step). Otherwise the last observed step is
kept: never anything worse than was trained.

Q questions, K samples per question.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relex.candidates.candidate import BASE, Candidate
from relex.config import SelectionConfig
from relex.errors import InputError
from relex.selection.decision import CandidateResult, Decision
from relex.selection.intervals import bootstrap_interval
from relex.selection.paired import paired_test
from relex.selection.wording import (
    explain_chosen,
    explain_kept,
    explain_no_target,
    show_chance,
    show_rank,
)

KIND_ORDER = {"base": 0, "observed": 1, "extrapolated": 2}


@dataclass(frozen=True)
class Measured:
    """A candidate with its graded answers to the validation questions.

    `correct_QK` is bool; the rows of all candidates are the same questions in the same order.
    """

    candidate: Candidate
    correct_QK: npt.NDArray[np.bool_]


def decide(measured: Sequence[Measured], config: SelectionConfig, seed: int) -> Decision:
    """Compare every candidate with the last observed step and choose.

    Raises InputError when no observed step was measured, a candidate is listed twice, the answers
    do not match, or `config.num_resamples` is too small for any target to be chosen.
    """
    ordered = sorted(measured, key=lambda m: (KIND_ORDER[m.candidate.kind], m.candidate.step))
    last = _last_observed(ordered)
    targets = [m for m in ordered if m.candidate.kind == "extrapolated"]
    _check_answers(ordered, last)
    _check_resamples(len(targets), config)
    results = {m.candidate: _result(m, last, config, seed) for m in ordered}
    best = max(
        (results[m.candidate] for m in targets),
        key=lambda result: (result.accuracy, -result.candidate.step),
        default=None,
    )
    chosen, corrected_p_value, reason = _choose(results[last.candidate], best, len(targets), config)
    num_questions, samples_per_question = last.correct_QK.shape
    return Decision(
        results=tuple(results.values()),
        last_observed=last.candidate,
        best_extrapolated=best.candidate if best else None,
        corrected_p_value=corrected_p_value,
        chosen=chosen,
        reason=reason,
        confidence=config.confidence,
        num_resamples=config.num_resamples,
        num_questions=num_questions,
        samples_per_question=samples_per_question,
    )


def finalists(decision: Decision) -> tuple[Candidate, ...]:
    """What is measured once on the test questions: the chosen, the last observed and the base."""
    return tuple(dict.fromkeys((decision.chosen, decision.last_observed, BASE)))


def _result(
    measured: Measured, last: Measured, config: SelectionConfig, seed: int
) -> CandidateResult:
    correct_QK = measured.correct_QK
    return CandidateResult(
        candidate=measured.candidate,
        accuracy=float(correct_QK.mean()),
        interval=bootstrap_interval(correct_QK, config, seed),
        to_last_observed=(
            None if measured is last else paired_test(correct_QK, last.correct_QK, config, seed)
        ),
    )


def _choose(
    last: CandidateResult, best: CandidateResult | None, num_targets: int, config: SelectionConfig
) -> tuple[Candidate, float | None, str]:
    """The chosen candidate, the corrected p-value and the reason."""
    if best is None or best.to_last_observed is None:
        return last.candidate, None, explain_no_target(last)
    corrected_p_value = min(1.0, num_targets * best.to_last_observed.p_value)
    chance = show_chance(corrected_p_value, num_targets, config.confidence)
    rank = show_rank(num_targets)
    if corrected_p_value <= 1 - config.confidence:
        return best.candidate, corrected_p_value, explain_chosen(last, best, chance, rank)
    return last.candidate, corrected_p_value, explain_kept(last, best, chance, rank)


def _last_observed(ordered: Sequence[Measured]) -> Measured:
    candidates = [m.candidate for m in ordered]
    twice = [c.label for c in candidates if candidates.count(c) > 1]
    if twice:
        raise InputError(f"selection: {twice[0]} is listed twice; give every candidate once")
    observed = [m for m in ordered if m.candidate.kind == "observed"]
    if not observed:
        found = ", ".join(c.label for c in candidates) or "no candidate at all"
        raise InputError(
            f"selection: found {found}, but no observed step, which is what a target has to beat; "
            "measure the last step of the window too"
        )
    return observed[-1]


def _check_answers(ordered: Sequence[Measured], last: Measured) -> None:
    expected = last.correct_QK.shape
    for m in ordered:
        label, correct_QK = m.candidate.label, m.correct_QK
        if correct_QK.dtype != np.bool_ or correct_QK.ndim != 2 or correct_QK.size == 0:
            raise InputError(
                f"selection: {label}: expected a bool matrix of questions x samples, found "
                f"{correct_QK.dtype} of shape {correct_QK.shape}"
            )
        if correct_QK.shape != expected:
            raise InputError(
                f"selection: {label}: answered {_shape_words(correct_QK.shape)}, but "
                f"{last.candidate.label} answered {_shape_words(expected)}; "
                "measure both on the same questions"
            )


def _shape_words(shape: tuple[int, ...]) -> str:
    return " questions x ".join(map(str, shape)) + " samples"


def _check_resamples(num_targets: int, config: SelectionConfig) -> None:
    """The smallest p-value that resampling can give must be able to pass the corrected test."""
    limit = 1 - config.confidence
    needed = math.ceil(num_targets / limit) - 1
    if config.num_resamples < needed:
        raise InputError(
            f"selection.num_resamples: {config.num_resamples} resamples cannot give the p-value of "
            f"{limit / num_targets:.2g} that confidence {config.confidence:g} asks of "
            f"{show_rank(num_targets)}; use at least {needed}"
        )

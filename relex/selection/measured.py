"""A candidate with its graded answers, as the decision takes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relex.candidates import Candidate
from relex.errors import InputError
from relex.selection.facts import Habits


@dataclass(frozen=True)
class Measured:
    """A candidate with its graded answers to the validation questions.

    Rows of `correct_QK` (bool) are the first questions of one fixed order, the same for all
    candidates. A search may stop early on a poor candidate, which then has fewer rows. Without
    `habits` there are no red flags about them. `group_Q` names each row's group, or is empty.
    """

    candidate: Candidate
    correct_QK: npt.NDArray[np.bool_]
    habits: Habits | None = None
    group_Q: tuple[str, ...] = ()


def in_order(measured: Sequence[Measured]) -> list[Measured]:
    """Base, observed steps ascending, then all others by method and step."""
    return sorted(measured, key=lambda m: m.candidate.order)


def last_observed(ordered: Sequence[Measured]) -> Measured:
    """What a candidate has to beat; raises InputError when there is none, or one is there twice."""
    candidates = [m.candidate for m in ordered]
    twice = [c.key for c in candidates if candidates.count(c) > 1]
    if twice:
        raise InputError(f"selection: {twice[0]} is listed twice; give every candidate once")
    observed = [m for m in ordered if m.candidate.is_observed]
    if not observed:
        found = ", ".join(c.key for c in candidates) or "no candidate at all"
        raise InputError(
            f"selection: found {found}, but no observed step, which is what a candidate has to "
            "beat; measure the last step of the window too"
        )
    return observed[-1]


def check_answers(ordered: Sequence[Measured], last: Measured) -> None:
    """Raises InputError unless the answers are bool matrices that `last` can be compared with, and
    every question has its group where there are groups."""
    for m in ordered:
        label, correct_QK = m.candidate.key, m.correct_QK
        if correct_QK.dtype != np.bool_ or correct_QK.ndim != 2 or correct_QK.size == 0:
            raise InputError(
                f"selection: {label}: expected a bool matrix of questions x samples, found "
                f"{correct_QK.dtype} of shape {correct_QK.shape}"
            )
        if m.group_Q and len(m.group_Q) != len(correct_QK):
            raise InputError(
                f"selection: {label}: found {len(m.group_Q)} groups for {len(correct_QK)} "
                "questions; give one per question, or none"
            )
    num_questions, num_samples = last.correct_QK.shape
    for m in ordered:
        if m.correct_QK.shape[1] != num_samples or len(m.correct_QK) > num_questions:
            raise InputError(
                f"selection: {m.candidate.key}: answered {_shape_words(m)}, but "
                f"{last.candidate.key} answered {_shape_words(last)}; measure "
                f"{last.candidate.key} on all questions, and all with the same samples"
            )


def _shape_words(measured: Measured) -> str:
    return " questions x ".join(map(str, measured.correct_QK.shape)) + " samples"

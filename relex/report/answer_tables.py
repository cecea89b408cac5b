"""What the answers tell beside accuracy: the tables below the first one."""

from collections.abc import Sequence

from relex.report.summary import RunSummary
from relex.report.table import CANDIDATE, CHOSEN, NOT_MEASURED, Row, chosen_cell
from relex.selection.decision import CandidateResult
from relex.selection.facts import Habits, PassAt
from relex.selection.paired import PairedTest
from relex.selection.wording import show_accuracy, show_changes

SHOWN_K = 4
"""Pass at this many stands beside pass at all samples."""


def answer_rows(summary: RunSummary) -> list[Row]:
    """One row per candidate: pass at k, repairs and regressions, and how it answers."""
    results = summary.decision.results
    has_habits = any(result.habits is not None for result in results)
    has_format = any(r.habits is not None and r.habits.format_value is not None for r in results)
    guards = dict.fromkeys(guard.benchmark for result in results for guard in result.guards)
    return [
        {
            CANDIDATE: result.candidate.label,
            **{f"pass at {entry.k}": _pass_cell(entry) for entry in _shown(result.pass_at)},
            f"against {summary.decision.last_observed.label}": _changes(result.to_last_observed),
            "against base": _changes(result.to_base),
            **(_habit_cells(result.habits, has_format) if has_habits else {}),
            **{f"guard ({name})": _guard_cell(result, name) for name in guards},
            CHOSEN: chosen_cell(summary.decision, result),
        }
        for result in results
    ]


def group_rows(summary: RunSummary) -> list[Row]:
    """Accuracy by group of the base, the last observed step and the chosen; empty without one."""
    decision = summary.decision
    shown = [
        result
        for result in decision.results
        if result.candidate.is_base or result.candidate in (decision.last_observed, decision.chosen)
    ]
    of_chosen = decision.result(decision.chosen).by_group
    return [
        {
            "group": group.group,
            "questions": str(group.num_questions),
            **{result.candidate.label: _group_cell(result, group.group) for result in shown},
        }
        for group in of_chosen
    ]


def flag_lines(summary: RunSummary) -> list[str]:
    """`k = 300: 40% of its answers are cut at the token limit, before 2%`."""
    return [
        f"{result.candidate.label}: {flag.words}"
        for result in summary.decision.results
        for flag in result.flags
    ]


def _shown(pass_at: Sequence[PassAt]) -> list[PassAt]:
    """Pass at 1 is the validation accuracy of the first table."""
    return [entry for entry in pass_at if entry.k > 1 and entry.k in (SHOWN_K, pass_at[-1].k)]


def _pass_cell(entry: PassAt) -> str:
    return show_accuracy(entry.value, entry.interval)


def _changes(test: PairedTest | None) -> str:
    return show_changes(test) if test else NOT_MEASURED


def _habit_cells(habits: Habits | None, has_format: bool) -> Row:
    titles = ["cut", "in a loop", "tokens if right", *(["format"] if has_format else [])]
    if habits is None:
        return dict.fromkeys(titles, NOT_MEASURED)
    tokens, form = habits.correct_tokens, habits.format_value
    cells = [
        f"{habits.truncated_fraction:.1%}",
        f"{habits.repeating_fraction:.1%}",
        NOT_MEASURED if tokens is None else f"{tokens:.0f}",
        NOT_MEASURED if form is None else f"{form:.2f}",
    ]
    return dict(zip(titles, cells, strict=False))


def _guard_cell(result: CandidateResult, benchmark: str) -> str:
    for guard in result.guards:
        if guard.benchmark == benchmark:
            return f"{guard.accuracy:.3f}"
    return NOT_MEASURED


def _group_cell(result: CandidateResult, name: str) -> str:
    for group in result.by_group:
        if group.group == name:
            return show_accuracy(group.accuracy, group.interval)
    return NOT_MEASURED

"""What is told of candidates, as rows: one source for terminal, Markdown and table artifacts."""

from collections.abc import Sequence

from relex.candidates import BASE
from relex.report.page import (
    AGAINST,
    ALARM,
    CHOSEN,
    CHOSEN_MARK,
    NOT_MEASURED,
    QUESTION,
    Row,
    is_against,
)
from relex.report.shown_answers import ShownAnswer
from relex.report.summary import BenchmarkResult, RunSummary
from relex.search import SearchPath, Trial
from relex.selection.decision import CandidateResult, Decision
from relex.selection.facts import Habits, PassAt
from relex.selection.paired import PairedTest
from relex.selection.wording import show_accuracy, show_changes, show_difference

FLAG_MARK = ALARM.strip()
GREEDY_ROW = "↳ greedy"
SHOWN_K = 4
"""Pass at this many stands beside pass at all samples."""


def candidate_rows(summary: RunSummary) -> list[Row]:
    """One row per candidate, its cells by column title; below a finalist how it answers at
    temperature 0."""
    rows = []
    for result in summary.decision.results:
        rows.append(_candidate_row(summary, result))
        greedy = summary.greedy_result(result.candidate)
        if greedy:
            rows.append(_greedy_row(rows[-1], greedy))
    return rows


def _candidate_row(summary: RunSummary, result: CandidateResult) -> Row:
    last = summary.decision.last_observed
    return {
        "candidate": result.candidate.key,
        "steps": str(min(result.candidate.step, summary.last_step)),
        "validation": _validation_cell(summary.decision, result),
        f"{AGAINST[0]} {last.key}": _difference(result.to_last_observed),
        **{
            f"test ({name})": _benchmark_cell(summary, name, result)
            for name in summary.benchmark_names
        },
        CHOSEN: chosen_cell(summary.decision, result),
    }


def _greedy_row(row: Row, greedy: BenchmarkResult) -> Row:
    """Its comparison is with the last observed step's greedy answers."""
    blank = {title: NOT_MEASURED if title.startswith("test") else "" for title in row}
    differences = {
        title: _difference(greedy.to_last_observed) for title in row if is_against(title)
    }
    accuracy = show_accuracy(greedy.accuracy, greedy.interval)
    return blank | {"candidate": GREEDY_ROW, "validation": accuracy} | differences


def round_rows(summary: RunSummary) -> list[Row]:
    """One row per round: what it trained, where it jumped, and what each was worth on the first
    test benchmark; none for a single round."""
    if not summary.earlier:
        return []
    test, rows, num_steps = summary.benchmark_names[0], list[Row](), 0
    for number, one in enumerate(summary.rounds, start=1):
        num_steps += one.num_steps
        worth = {
            candidate: show_accuracy(*one.accuracy(candidate))
            for candidate in (BASE, one.last_observed, one.chosen)
        }
        rows.append(
            {
                "round": str(number),
                f"{test}, where it began": worth[BASE],
                "trained steps": f"{one.num_steps}, in all {num_steps}",
                f"{test}, last step": worth[one.last_observed],
                "chosen": one.chosen.key,
                f"{test}, chosen": worth[one.chosen],
                "run": one.run_id,
            }
        )
    return rows


def _validation_cell(decision: Decision, result: CandidateResult) -> str:
    """`0.738 [0.712, 0.764]`, or `0.738 on 20` questions where these are not all."""
    if result.num_questions < decision.num_questions:
        return f"{result.accuracy:.3f} on {result.num_questions}"
    return show_accuracy(result.accuracy, result.interval)


def chosen_cell(decision: Decision, result: CandidateResult) -> str:
    """A star for the chosen candidate, a flag for one that a red flag stops."""
    if result.candidate == decision.chosen:
        return CHOSEN_MARK
    return FLAG_MARK if result.flags else ""


def _benchmark_cell(summary: RunSummary, benchmark: str, result: CandidateResult) -> str:
    measured = summary.benchmark_result(benchmark, result.candidate)
    return show_accuracy(measured.accuracy, measured.interval) if measured else NOT_MEASURED


def _difference(test: PairedTest | None) -> str:
    return show_difference(test) if test else NOT_MEASURED


def answer_rows(summary: RunSummary) -> list[Row]:
    """One row per candidate: pass at k, repairs and regressions, and how it answers."""
    results = summary.decision.results
    has_habits = any(result.habits is not None for result in results)
    has_format = any(r.habits is not None and r.habits.format_value is not None for r in results)
    guards = dict.fromkeys(guard.benchmark for result in results for guard in result.guards)
    return [
        {
            "candidate": result.candidate.key,
            **_pass_cells(result.pass_at),
            f"against {summary.decision.last_observed.key}": _changes(result.to_last_observed),
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
            **{result.candidate.key: _group_cell(result, group.group) for result in shown},
        }
        for group in of_chosen
    ]


def flag_lines(summary: RunSummary) -> list[str]:
    """`line-300: 40% of its answers are cut at the token limit, before 2%`."""
    return [
        f"{result.candidate.key}: {flag.words}"
        for result in summary.decision.results
        for flag in result.flags
    ]


def question_rows(summary: RunSummary) -> list[Row]:
    """One row per shown question, with the answers of the finalists side by side."""
    titles = list(dict.fromkeys(each.key for each in summary.decision.finalists.values()))
    return [
        {
            QUESTION: each.question,
            "right answer": each.gold,
            **dict(zip(titles, map(_answer_cell, each.answers), strict=True)),
            "": each.change,
        }
        for each in summary.shown
    ]


def _answer_cell(answer: ShownAnswer) -> str:
    return f"{'✓' if answer.correct else '✗'} {answer.text}"


def _pass_cells(pass_at: Sequence[PassAt]) -> Row:
    """Pass at 1 is the validation accuracy of the first table."""
    shown = [entry for entry in pass_at if entry.k > 1 and entry.k in (SHOWN_K, pass_at[-1].k)]
    return {f"pass at {entry.k}": show_accuracy(entry.value, entry.interval) for entry in shown}


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
    found = (f"{guard.accuracy:.3f}" for guard in result.guards if guard.benchmark == benchmark)
    return next(found, NOT_MEASURED)


def _group_cell(result: CandidateResult, name: str) -> str:
    of_name = (group for group in result.by_group if group.group == name)
    return next((show_accuracy(g.accuracy, g.interval) for g in of_name), NOT_MEASURED)


def way_rows(path: SearchPath) -> list[Row]:
    """One row for what was moved on each way: how far it was best, and how good that was.

    Few questions speak for most of them, so a row says how many.
    """
    best: dict[tuple[str, str], Trial] = {}
    for trial in (trial for trial in path.trials if trial.candidate.is_beyond):
        way = trial.candidate.method, trial.candidate.part
        if way not in best or trial.accuracy > best[way].accuracy:
            best[way] = trial
    return [
        {
            "what moves": trial.candidate.moved,
            "by": trial.candidate.method,
            "farthest": str(max(t.candidate.step for t in path.trials if _is_on(t, way))),
            "best at step": str(trial.candidate.step),
            "accuracy": f"{trial.accuracy:.3f} on {trial.num_questions}",
        }
        for way, trial in sorted(best.items(), key=lambda item: -item[1].accuracy)
    ]


def _is_on(trial: Trial, way: tuple[str, str]) -> bool:
    return (trial.candidate.method, trial.candidate.part) == way


def search_rows(path: SearchPath) -> list[Row]:
    """One row per candidate of a search, in the order in which they were tried."""
    return [
        {
            "tried": trial.candidate.key,
            "for": trial.why,
            "questions": f"{trial.num_questions} of {path.num_questions}",
            "accuracy": f"{trial.accuracy:.3f}",
            "tokens": f"{trial.num_tokens:,}",
            "went no further": trial.end,
        }
        for trial in path.trials
    ]

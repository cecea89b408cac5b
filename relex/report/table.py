"""The table of candidates: one source for the terminal, Markdown and table artifacts."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from relex.report.plain import plain
from relex.report.summary import RunSummary
from relex.selection.decision import CandidateResult, Decision
from relex.selection.wording import show_accuracy, show_difference

CANDIDATE, STEPS, VALIDATION = "candidate", "steps trained", "validation"
AGAINST, CHOSEN = "against", "chosen"
CHOSEN_MARK = "★"
FLAG_MARK = "⚑"
NOT_MEASURED = "-"

Row = dict[str, str]


def candidate_rows(summary: RunSummary) -> list[Row]:
    """One row per candidate, its cells by column title."""
    return [_row(summary, result) for result in summary.decision.results]


def _row(summary: RunSummary, result: CandidateResult) -> Row:
    candidate = result.candidate
    last = summary.decision.last_observed
    difference = result.to_last_observed
    return {
        CANDIDATE: candidate.label,
        STEPS: str(min(candidate.step, summary.last_step)),
        VALIDATION: _validation_cell(summary.decision, result),
        f"{AGAINST} {last.label}": show_difference(difference) if difference else NOT_MEASURED,
        **{
            f"test ({name})": _benchmark_cell(summary, name, result)
            for name in summary.benchmark_names
        },
        CHOSEN: chosen_cell(summary.decision, result),
    }


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


def markdown_table(rows: Sequence[Row]) -> str:
    """A Markdown table; every row has the columns of the first."""
    columns = list(rows[0])
    lines = [
        [*map(_markdown_cell, columns)],
        ["---"] * len(columns),
        *([_markdown_cell(row[column]) for column in columns] for row in rows),
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _markdown_cell(text: str) -> str:
    return plain(text).replace("|", r"\|")


def rich_table(rows: Sequence[Row]) -> Table:
    """A table that fits a terminal of 80 columns: no differences, the chosen row in bold."""
    titles = [title for title in rows[0] if not title.startswith(AGAINST)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in titles:
        table.add_column("steps" if title == STEPS else title, no_wrap=True)
    for row in rows:
        cells = [row[title] for title in titles]
        table.add_row(*cells, style="bold green" if row[CHOSEN] == CHOSEN_MARK else None)
    return table

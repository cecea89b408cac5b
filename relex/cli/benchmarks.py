"""`relex benchmarks`: the table that recipes may name rows of."""

from rich.console import Console
from rich.table import Table

from relex.config import BENCHMARKS, NamedBenchmark

COMMIT_CHARACTERS = 7


def benchmarks() -> None:
    """List the benchmarks that a recipe may name."""
    table = Table("name", "domain", "questions", "dataset", "split", "answers", "grader", "note")
    for row in BENCHMARKS:
        dataset = f"{row.path}@{row.revision[:COMMIT_CHARACTERS]}"
        split = f"{row.config}/{row.split}" if row.config else row.split
        cells = (dataset, split, _answers(row), row.grader, row.note)
        table.add_row(row.name, row.domain, str(row.num_questions), *cells)
    Console().print(table)


def _answers(row: NamedBenchmark) -> str:
    if row.temperature == 0:
        return "greedy"
    return f"{row.samples_per_question} at {row.temperature:g}, top {row.top_p:g}"

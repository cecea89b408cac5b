"""`relex benchmarks`: the table that recipes may name rows of."""

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from relex.config import BENCHMARKS, NamedBenchmark
from relex.terminal import open_terminal

COMMIT_CHARACTERS = 7


def benchmarks() -> None:
    """List the benchmarks that a recipe may name."""
    name = Column("name", no_wrap=True)
    dataset = Column("dataset and commit", overflow="fold")
    table = Table(name, "MATH", "questions", dataset, "answers", box=SIMPLE_HEAD, pad_edge=False)
    for row in BENCHMARKS:
        commit = str(row.source["revision"])[:COMMIT_CHARACTERS]
        cells = (str(row.num_questions), f"{row.source['path']} {commit}", _answers(row))
        table.add_row(row.name, row.domain, *cells)
    console = open_terminal()
    console.print(table)
    for row in BENCHMARKS:
        if row.note:
            console.print(f"{row.name}: {row.note}")
    console.print("8 at 0.7/0.8: eight answers at temperature 0.7 and nucleus 0.8.")
    console.print(
        f"Graded by {', '.join(sorted({str(row.manner['grader']) for row in BENCHMARKS}))}."
    )


def _answers(row: NamedBenchmark) -> str:
    manner = row.manner
    if manner["temperature"] == 0:
        return "greedy"
    return f"{manner['samples_per_question']} at {manner['temperature']:g}/{manner['top_p']:g}"

"""`relex select`: the decision from scores."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from relex.atomic import write_atomic
from relex.cli.evaluate import parse_candidate
from relex.config import load_recipe
from relex.errors import InputError
from relex.evaluation import ANSWERS_FILE, SCORE_FILE, Score, correct_matrix, read_answers
from relex.selection import Decision, Measured, decide
from relex.selection.wording import show_accuracy, show_difference


def select(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe of the run.")],
    scores: Annotated[Path, typer.Argument(help="Folder that `relex evaluate --out` wrote.")],
    out: Annotated[Path, typer.Option(help="File for the decision, in JSON.")],
    benchmark: Annotated[str, typer.Option(help="Benchmark to decide on.")] = "validation",
) -> None:
    """Choose between the candidates that were measured, and say why."""
    chosen = load_recipe(recipe)
    decided = decide(read_measured(scores, benchmark), chosen.selection, chosen.seed)
    decision = decided.model_copy(update={"grader": read_grader(scores, benchmark)})
    write_atomic(out, decision.model_dump_json(indent=1).encode())
    Console().print(_table(decision))
    typer.echo(decision.reason)


def read_measured(scores: Path, benchmark: str) -> list[Measured]:
    """Graded answers of every candidate below `scores`; raises InputError where there are none."""
    paths = sorted(scores.glob(f"*/{benchmark}/{ANSWERS_FILE}"))
    if not paths:
        raise InputError(
            f"{scores}: holds no answers to {benchmark}; make them with relex evaluate --out"
        )
    return [
        Measured(parse_candidate(path.parts[-3]), correct_matrix(read_answers(path)))
        for path in paths
    ]


def read_grader(scores: Path, benchmark: str) -> str:
    """What graded all candidates below `scores`; raises InputError when it was not the same."""
    paths = sorted(scores.glob(f"*/{benchmark}/{SCORE_FILE}"))
    graders = {Score.model_validate_json(path.read_bytes()).grader for path in paths}
    if len(graders) != 1:
        raise InputError(
            f"{scores}: the answers to {benchmark} were graded by {', '.join(sorted(graders))}, "
            "which cannot be compared; measure all candidates with one grader"
        )
    return graders.pop()


def _table(decision: Decision) -> Table:
    table = Table("candidate", "accuracy", f"against {decision.last_observed.label}", "chosen")
    for result in decision.results:
        difference = result.to_last_observed
        table.add_row(
            result.candidate.label,
            show_accuracy(result.accuracy, result.interval),
            show_difference(difference) if difference else "-",
            "★" if result.candidate == decision.chosen else "",
        )
    return table

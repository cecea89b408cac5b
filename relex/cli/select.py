"""`relex select`: the decision from scores."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from relex.atomic import write_atomic
from relex.candidates import Candidate
from relex.cli.evaluate import problem_source
from relex.config import Recipe, load_recipe
from relex.errors import InputError
from relex.evaluation import ANSWERS_FILE, SCORE_FILE, Score, measured_from, read_answers
from relex.problems import groups_of, load_problems
from relex.selection import Decision, Measured, decide
from relex.selection.wording import show_accuracy, show_changes


def select(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe of the run.")],
    scores: Annotated[Path, typer.Argument(help="Folder that `relex evaluate --out` wrote.")],
    out: Annotated[Path, typer.Option(help="File for the decision, in JSON.")],
    benchmark: Annotated[str, typer.Option(help="Benchmark to decide on.")] = "validation",
) -> None:
    """Choose between the candidates that were measured, and say why."""
    chosen = load_recipe(recipe)
    measured = read_measured(chosen, scores, benchmark)
    guards = {
        guard.name: read_measured(chosen, scores, guard.name)
        for guard in chosen.problems.guard
        if _answer_files(scores, guard.name)
    }
    decided = decide(measured, chosen.selection, chosen.seed, guards)
    decision = decided.model_copy(update={"grader": read_grader(scores, benchmark)})
    write_atomic(out, decision.model_dump_json(indent=1).encode())
    Console().print(_table(decision))
    typer.echo(decision.reason)


def read_measured(recipe: Recipe, scores: Path, benchmark: str) -> list[Measured]:
    """Graded answers of every candidate below `scores`; raises InputError where there are none."""
    paths = _answer_files(scores, benchmark)
    if not paths:
        raise InputError(
            f"{scores}: holds no answers to {benchmark}; make them with relex evaluate --out"
        )
    groups = _groups(recipe, benchmark)
    return [
        measured_from(_candidate(path), read_answers(path), recipe.rewards, groups)
        for path in paths
    ]


def _candidate(answers: Path) -> Candidate:
    score = answers.with_name(SCORE_FILE)
    return Score.model_validate_json(score.read_bytes()).candidate


def _answer_files(scores: Path, benchmark: str) -> list[Path]:
    return sorted(scores.glob(f"*/{benchmark}/{ANSWERS_FILE}"))


def _groups(recipe: Recipe, benchmark: str) -> dict[str, str]:
    """Groups by question; the questions are read only where they have groups."""
    source = problem_source(recipe, benchmark)
    return groups_of(load_problems(source)) if source.group_column else {}


def read_grader(scores: Path, benchmark: str) -> str:
    """What graded all candidates below `scores`; raises InputError when it was not the same, or
    they were not measured in one dtype."""
    paths = sorted(scores.glob(f"*/{benchmark}/{SCORE_FILE}"))
    found = [Score.model_validate_json(path.read_bytes()) for path in paths]
    graders, dtypes = {score.grader for score in found}, {score.dtype for score in found}
    if len(graders) != 1:
        raise InputError(
            f"{scores}: the answers to {benchmark} were graded by {', '.join(sorted(graders))}, "
            "which cannot be compared; measure all candidates with one grader"
        )
    if len(dtypes) != 1:
        raise InputError(
            f"{scores}: the answers to {benchmark} were computed in {', '.join(sorted(dtypes))}, "
            "which cannot be compared; measure all candidates on one kind of processor"
        )
    return graders.pop()


def _table(decision: Decision) -> Table:
    """A table that fits a terminal of 80 columns; `p` is that of the choice, of what it tested."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in ("candidate", "accuracy", "gain", "p", "repairs", ""):
        table.add_column(title, no_wrap=True)
    for result in decision.results:
        test = result.to_last_observed
        is_chosen = result.candidate == decision.chosen
        flags = ", ".join(flag.rule for flag in result.flags)
        table.add_row(
            result.candidate.label,
            show_accuracy(result.accuracy, result.interval),
            f"{test.difference:+z.3f}" if test else "-",
            f"{test.p_value:.2g}" if test and result.is_tested else "-",
            show_changes(test) if test else "-",
            "★" if is_chosen else f"⚑ {flags}" if flags else "",
            style="bold green" if is_chosen else None,
        )
    return table

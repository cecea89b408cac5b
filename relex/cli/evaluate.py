"""`relex evaluate`: scores of candidates."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from relex.candidates import BASE, parse_candidate
from relex.checkpoints import locate_base
from relex.cli.progress import progress_bar
from relex.config import ProblemSource, Recipe, RewardTerm, load_recipe
from relex.errors import InputError
from relex.evaluation import EvaluationSession, Score
from relex.evaluation.weight_source import WeightSource
from relex.problems import Problem, load_problems
from relex.rewards import build_reward, check_golds, listed_golds
from relex.storage.connection import connection_of


def evaluate(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe of the run.")],
    out: Annotated[Path, typer.Option(help="Folder for answers and scores.")],
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            help="base, observed-30, line-120, secant-gap10-120; repeat for more. Default: base."
        ),
    ] = None,
    benchmark: Annotated[
        str, typer.Option(help="validation, or a test benchmark of the recipe.")
    ] = "validation",
    window: Annotated[str, typer.Option(help="Window, for observed candidates.")] = "",
    factors: Annotated[str, typer.Option(help="Factors, for what a method makes.")] = "",
) -> None:
    """Measure candidates on one benchmark: answers and a score for each."""
    chosen = load_recipe(recipe)
    candidates = [parse_candidate(key) for key in candidate or [BASE.key]]
    problems = load_problems(problem_source(chosen, benchmark))
    _check_golds(chosen, benchmark, problems)
    source = WeightSource(
        base=str(locate_base(chosen.base)),
        window=window,
        connection=connection_of(chosen.storage),
        factors=factors,
    )
    with (
        progress_bar("evaluate") as advance,
        EvaluationSession(
            chosen,
            source,
            {benchmark: problems},
            out,
            lambda _candidate, _benchmark, num_done, num_total: advance(num_done, num_total),
            partial(typer.echo, err=True),
        ) as session,
    ):
        scores = [session.measure(each, benchmark) for each in candidates]
    Console().print(_table(scores))


def problem_source(recipe: Recipe, benchmark: str) -> ProblemSource:
    """Where a benchmark of the recipe comes from. Raises InputError when it has none so named."""
    sources = {entry.name: entry.source for entry in recipe.problems.benchmarks}
    sources["validation"] = recipe.problems.validation
    if benchmark not in sources:
        raise InputError(f"--benchmark {benchmark}: the recipe has {', '.join(sorted(sources))}")
    return sources[benchmark]


def _check_golds(recipe: Recipe, benchmark: str, problems: Sequence[Problem]) -> None:
    grader = build_reward(RewardTerm(reward=recipe.exam(benchmark).grader), recipe.reward_seconds)
    doubtful = check_golds(benchmark, problems, grader)
    if doubtful:
        typer.echo(f"{grader.name} takes only the same text for {listed_golds(doubtful)}", err=True)


def _table(scores: Sequence[Score]) -> Table:
    table = Table("candidate", "accuracy", "truncated", "tokens", "questions", "samples")
    for score in scores:
        table.add_row(
            score.candidate.label,
            f"{score.accuracy:.3f}",
            f"{score.truncated_fraction:.3f}",
            f"{score.mean_completion_tokens:.1f}",
            str(score.num_questions),
            str(score.samples_per_question),
        )
    return table

"""`relex evaluate`: scores of candidates."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from relex.candidates import BASE, parse_candidate
from relex.checkpoints import locate_base
from relex.cli.options import progress_bar
from relex.config import AnyRecipe, ProblemSource, RewardTerm, WindowRecipe, load_run_recipe
from relex.errors import InputError
from relex.evaluation import Asked, EvaluationSession, Score
from relex.evaluation.weight_source import CandidateWeights, WeightSource
from relex.extrapolation import KIND as FACTORS_KIND
from relex.home import in_home
from relex.problems import Problem, load_problems
from relex.report import terminal_table
from relex.rewards import build_reward, check_golds, listed_golds
from relex.run.rounds import check_one_round
from relex.storage import S3Connection, open_store
from relex.storage.manifest import fetch_folder
from relex.terminal import open_terminal


def evaluate(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe of the run.")],
    out: Annotated[Path, typer.Option(help="Folder for answers and scores.")],
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            help="base, observed-30, line-120, secant-gap10-960@2-3.mlp; repeat for more. "
            "Default: base."
        ),
    ] = None,
    benchmark: Annotated[
        str, typer.Option(help="validation, or a test benchmark of the recipe.")
    ] = "validation",
    window: Annotated[
        str,
        typer.Option(
            callback=in_home,
            help="Window, for observed candidates: a folder or s3://bucket/prefix. Default: the "
            "recipe's, where it has one.",
        ),
    ] = "",
    factors: Annotated[
        str,
        typer.Option(
            callback=in_home,
            help="Factors, for what a method makes: a folder or s3://bucket/prefix.",
        ),
    ] = "",
) -> None:
    """Measure candidates on one benchmark: answers and a score for each.

    They lie in OUT/BENCHMARK/CANDIDATE, as below the scores of a run.
    """
    chosen = load_run_recipe(recipe)
    check_one_round(chosen)
    candidates = [parse_candidate(key) for key in candidate or [BASE.key]]
    problems = load_problems(problem_source(chosen, benchmark), partial(typer.echo, err=True))
    _check_golds(chosen, benchmark, problems)
    with local_factors(factors, chosen.storage.connection) as folder:
        source = _source(chosen, window, folder)
        weights = CandidateWeights(source)
        for (
            each
        ) in candidates:  # what is wrong with one of them is found before an engine is loaded
            weights.tensors(each)
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
            session.expect([Asked(each, benchmark) for each in candidates])
            scores = [session.measure(each, benchmark) for each in candidates]
    open_terminal().print(terminal_table([_row(score) for score in scores]))


@contextmanager
def local_factors(factors: str, connection: S3Connection) -> Iterator[str]:
    """A folder with the factors; those on S3 are copied for as long as the block."""
    if not factors.startswith("s3://"):
        yield factors
        return
    with TemporaryDirectory(prefix="relex-factors-") as folder:
        fetch_folder(open_store(factors, connection), Path(folder), FACTORS_KIND)
        yield folder


def _source(recipe: AnyRecipe, window: str, factors: str) -> WeightSource:
    base = recipe.base
    own = recipe.window.uri if isinstance(recipe, WindowRecipe) else ""
    return WeightSource(
        base=str(locate_base(base.path, base.revision, base.trust_remote_code)),
        window=window or own,
        connection=recipe.storage.connection,
        factors=factors,
    )


def problem_source(recipe: AnyRecipe, benchmark: str) -> ProblemSource:
    """Where a benchmark of the recipe comes from. Raises InputError when it has none so named."""
    sources = {entry.name: entry.source for entry in recipe.problems.benchmarks}
    sources["validation"] = recipe.problems.validation
    if benchmark not in sources:
        raise InputError(f"--benchmark {benchmark}: the recipe has {', '.join(sorted(sources))}")
    return sources[benchmark]


def _check_golds(recipe: AnyRecipe, benchmark: str, problems: Sequence[Problem]) -> None:
    grader = build_reward(RewardTerm(reward=recipe.exam(benchmark).grader), recipe.reward_seconds)
    doubtful = check_golds(benchmark, problems, grader)
    if doubtful:
        typer.echo(f"{grader.name} does not take for themselves {listed_golds(doubtful)}", err=True)


def _row(score: Score) -> dict[str, str]:
    return {
        "candidate": score.candidate.key,
        "accuracy": f"{score.accuracy:.3f}",
        "truncated": f"{score.truncated_fraction:.3f}",
        "tokens": f"{score.mean_completion_tokens:.1f}",
        "questions": str(score.num_questions),
        "samples": str(score.samples_per_question),
    }

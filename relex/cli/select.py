"""`relex select`: the decision from scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from relex.candidates import Candidate
from relex.cli.evaluate import problem_source
from relex.config import GREEDY, VALIDATION, AnyRecipe, load_run_recipe
from relex.errors import InputError
from relex.evaluation import StoredScores, correct_matrix, measured_from, read_stored_scores
from relex.home import in_home
from relex.problems import groups_of, load_problems
from relex.report import CHOSEN_MARK, FLAG_MARK, GREEDY_ROW, terminal_table
from relex.selection import Decision, Measured, decide
from relex.selection.intervals import bootstrap_interval
from relex.selection.wording import show_accuracy, show_changes
from relex.storage import Store, open_store
from relex.storage.atomic import write_atomic
from relex.terminal import open_terminal


def select(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe of the run.")],
    scores: Annotated[
        str,
        typer.Argument(
            metavar="SCORES",
            callback=in_home,
            help="What `relex evaluate --out` wrote, or RUN/scores of a run: a folder or "
            "s3://bucket/prefix.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="File for the decision, in JSON.")],
    benchmark: Annotated[str, typer.Option(help="Benchmark to decide on.")] = "validation",
) -> None:
    """Choose between the candidates that were measured, and say why."""
    chosen = load_run_recipe(recipe)
    store = open_store(scores, chosen.storage.connection)
    stored = read_stored_scores(store, benchmark)
    if not stored:
        raise InputError(
            f"{scores}: holds no answers to {benchmark}; make them with relex evaluate --out"
        )
    grader = common_grader(scores, benchmark, stored)
    guards = {
        guard.name: _measured(chosen, guard.name, found)
        for guard in chosen.problems.guard
        if (found := read_stored_scores(store, guard.name))
    }
    measured = _measured(chosen, benchmark, stored)
    decided = decide(measured, chosen.selection, chosen.seed, guards)
    decision = decided.model_copy(update={"grader": grader})
    write_atomic(out, decision.model_dump_json(indent=1).encode())
    greedy = _greedy(store, chosen) if benchmark == VALIDATION else {}
    open_terminal().print(terminal_table(_rows(decision, greedy)))
    typer.echo(decision.reason)


def _measured(recipe: AnyRecipe, benchmark: str, stored: Sequence[StoredScores]) -> list[Measured]:
    groups = _groups(recipe, benchmark)
    return [measured_from(each.candidate, each.answers, recipe.rewards, groups) for each in stored]


def _groups(recipe: AnyRecipe, benchmark: str) -> dict[str, str]:
    """Groups by question; the questions are read only where they have groups."""
    source = problem_source(recipe, benchmark)
    return groups_of(load_problems(source)) if source.group_column else {}


def common_grader(scores: str, benchmark: str, stored: Sequence[StoredScores]) -> str:
    """What graded all candidates; raises InputError when it was not the same, or they were not
    measured in one dtype."""
    found = [score for each in stored for score in each.scores]
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


def _greedy(store: Store, recipe: AnyRecipe) -> dict[Candidate, str]:
    """Accuracy at temperature 0 of those that a run asked so."""
    cells = {}
    for each in read_stored_scores(store, GREEDY):
        correct_QK = correct_matrix(each.answers)
        interval = bootstrap_interval(correct_QK, recipe.selection, recipe.seed)
        cells[each.candidate] = show_accuracy(float(correct_QK.mean()), interval)
    return cells


def _rows(decision: Decision, greedy: Mapping[Candidate, str]) -> list[dict[str, str]]:
    """For a terminal of 80 columns; `p` is that of the choice, of what it tested."""
    rows = []
    for result in decision.results:
        test = result.to_last_observed
        flags = ", ".join(flag.rule for flag in result.flags)
        row = {
            "candidate": result.candidate.key,
            "steps": str(min(result.candidate.step, decision.last_observed.step)),
            "accuracy": show_accuracy(result.accuracy, result.interval),
            "gain": f"{test.difference:+z.3f}" if test else "-",
            "p": f"{test.p_value:.2g}" if test and result.is_tested else "-",
            "repairs": show_changes(test) if test else "-",
            "": f"{FLAG_MARK} {flags}" if flags else "",
        }
        rows.append(row | ({"": CHOSEN_MARK} if result.candidate == decision.chosen else {}))
        if result.candidate in greedy:
            own = {"candidate": GREEDY_ROW, "accuracy": greedy[result.candidate]}
            rows.append(dict.fromkeys(row, "") | own)
    return rows

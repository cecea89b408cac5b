"""`relex run`: the whole job of a recipe, without servers."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from relex.cli.screen import shown
from relex.config import load_run_recipe
from relex.home import make_home
from relex.report import (
    ALARM,
    RunSummary,
    candidate_rows,
    cost_words,
    outcome_lines,
    round_rows,
    terminal_table,
)
from relex.run import run as run_recipe
from relex.terminal import open_terminal
from relex.visible import visible


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe of the run.")],
) -> None:
    """Train, extrapolate, measure, choose and publish; the same recipe goes on where it stood."""
    console, chosen = open_terminal(), load_run_recipe(recipe)
    console.print(f"relex {chosen.run_id}, in {visible(str(make_home().root))}", soft_wrap=True)
    with shown(console) as terminal:
        summary = run_recipe(chosen, [terminal])
    print_result(summary, console)


def print_result(summary: RunSummary, console: Console) -> None:
    """The table of the candidates, the choice, and where to look."""
    console.print()
    console.print(terminal_table(candidate_rows(summary)))
    if summary.earlier:
        console.print(terminal_table(round_rows(summary)))
    reason = f"{ALARM * summary.decision.is_harmful}{summary.decision.reason}"
    texts = (reason, cost_words(summary), *outcome_lines(summary), summary.champion)
    for text in filter(None, texts):
        console.print(visible(text), style="bold red" if text.startswith(ALARM) else None)
    console.print()
    for link in summary.links:
        console.print(f"{link.name:13} {visible(link.address)}", soft_wrap=True)

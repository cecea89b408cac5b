"""`python -m flows.run RECIPE`: one pipeline run from a terminal, with everything that it needs.

It uses the servers of `make up` where they run. Otherwise, and without PREFECT_API_URL in the
environment, a Prefect server of our own is started on 127.0.0.1, with its database in the home
folder, and ends with the run.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from relex.config import Recipe, WindowRecipe, load_run_recipe
from relex.errors import RelexError
from relex.home import Home, open_home
from relex.report import RunSummary, candidate_rows, outcome_lines, rich_table
from relex.storage.embedded import free_port
from tasks.background import running_service
from tasks.display import displayed
from tasks.services import prefect_environment, prefect_server

INTERRUPTED = 130


def main() -> None:
    parser = argparse.ArgumentParser(prog="relex-pipeline", description=__doc__.splitlines()[0])
    parser.add_argument(
        "recipe", type=Path, help="a recipe, for example deployments/recipes/toy.yaml"
    )
    arguments = parser.parse_args()
    console = Console()
    with ends_in_one_line(console, "Interrupted. The same command continues this run."):
        run(load_run_recipe(arguments.recipe), console)


def run(recipe: Recipe | WindowRecipe, console: Console) -> None:
    """Run the recipe's flow and print its table, its reason and where to look."""
    home = open_home()
    console.print(f"[bold]relex[/] {recipe.run_id}, in {home.root}", highlight=False)
    with prefect_api(home, console):
        # Prefect reads its settings when it is imported, so not before they are set.
        from flows.extrapolate import relex_extrapolate
        from flows.pipeline import relex_pipeline
        from tasks.progress import flush_logs

        try:
            with displayed(console):
                if isinstance(recipe, WindowRecipe):
                    summary = relex_extrapolate(recipe=recipe)
                else:
                    summary = relex_pipeline(recipe=recipe)
        finally:
            flush_logs()
    print_result(summary, console)


@contextmanager
def ends_in_one_line(console: Console, interrupted: str) -> Iterator[None]:
    """An error on purpose ends the command in one line, and Ctrl-C in the line `interrupted`."""
    try:
        yield
    except RelexError as error:
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        console.print(interrupted)
        sys.exit(INTERRUPTED)


@contextmanager
def prefect_api(home: Home, console: Console) -> Iterator[None]:
    """The Prefect server of the environment, that of `make up`, or one of our own for the block."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    if os.environ.get("PREFECT_API_URL"):
        yield
        return
    if environment := running_service(home):
        os.environ.update(environment)
        yield
        return
    port = free_port()
    console.print("Starting a Prefect server ...")
    with prefect_server(home, port):
        os.environ.update(prefect_environment(home, port))
        yield


def print_result(summary: RunSummary, console: Console) -> None:
    console.print()
    console.print(rich_table(candidate_rows(summary)))
    for sentence in (summary.decision.reason, *outcome_lines(summary)):
        console.print(sentence, highlight=False)
    console.print(summary.champion, highlight=False)
    console.print()
    for link in summary.links:
        console.print(f"{link.name:13} {link.address}", highlight=False, soft_wrap=True)
    console.print("make ui       opens the Prefect and MLflow pages with this run", highlight=False)


if __name__ == "__main__":
    main()

"""`relex pipeline RECIPE`: one run as a Prefect flow that MLflow records, from a terminal.

It uses the servers of `make up` where they run. Otherwise, and without PREFECT_API_URL in the
environment, a Prefect server of our own is started on 127.0.0.1, with its database in the home
folder, and ends with the run.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from relex.cli.run import print_result
from relex.cli.screen import shown
from relex.config import Recipe, WindowRecipe, load_run_recipe
from relex.errors import RelexError, ResourceError
from relex.home import Home, make_home
from relex.storage.embedded import free_port
from relex.terminal import open_terminal
from relex.visible import visible
from tasks.background import running_service
from tasks.services import answers, prefect, prefect_environment, running

PATIENCE_SECONDS = 30.0


def pipeline(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe of the run.")],
) -> None:
    """As `relex run`, recorded in Prefect and MLflow, the model in the registry."""
    run(load_run_recipe(recipe), open_terminal())


def run(recipe: Recipe | WindowRecipe, console: Console) -> None:
    """Run the recipe's flow and print its table, its reason and where to look."""
    home = make_home()
    console.print(f"relex {recipe.run_id}, in {visible(str(home.root))}", soft_wrap=True)
    with prefect_api(home, console):
        # Prefect reads its settings when it is imported, so not before they are set.
        from flows.extrapolate import relex_extrapolate
        from flows.pipeline import relex_pipeline
        from tasks.page import flush_logs, watched_by

        try:
            with shown(console) as terminal, watched_by(terminal):
                if isinstance(recipe, WindowRecipe):
                    summary = relex_extrapolate(recipe=recipe)
                else:
                    summary = relex_pipeline(recipe=recipe)
        finally:
            flush_logs()
    print_result(summary, console)
    console.print("make up       opens the Prefect and MLflow pages with this run")


@contextmanager
def prefect_api(home: Home, console: Console) -> Iterator[None]:
    """The Prefect server of the environment, that of `make up`, or one of our own for the block.

    Raises ResourceError when it goes away before the block has ended.
    """
    with _prefect_server(home, console):
        try:
            yield
        except RelexError:
            raise
        except Exception as error:
            address = os.environ["PREFECT_API_URL"]
            if answers(f"{address}/health", PATIENCE_SECONDS):
                raise
            raise ResourceError(
                f"Prefect at {address}: does not answer any more ({type(error).__name__}); start "
                "it again, and the same command goes on where this run was"
            ) from error


@contextmanager
def _prefect_server(home: Home, console: Console) -> Iterator[None]:
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    # Lines and events that could not be sent are told once, by the error that ends the run.
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")
    logging.raiseExceptions = False
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
    with running(prefect(home, port), home):
        os.environ.update(prefect_environment(home, port))
        yield

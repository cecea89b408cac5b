"""`relex pipeline RECIPE` and `relex sweep SWEEP`: a run and a sweep as Prefect flows that MLflow
records, from a terminal.

They use the servers of `make up` where these run. Otherwise, and without PREFECT_API_URL in the
environment, a Prefect server of our own is started on 127.0.0.1, with its database in the home
folder, and ends with the command.
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
from relex.config import WindowRecipe, load_run_recipe, load_sweep
from relex.errors import RelexError, ResourceError
from relex.home import Home, make_home
from relex.report import LEADERBOARD_HTML, terminal_table, variant_rows
from relex.storage.embedded import free_port
from relex.terminal import open_terminal
from relex.visible import visible
from tasks.background import running_service
from tasks.services import (
    HOST,
    NO_TELEMETRY,
    PREFECT_PAGE_PORT,
    answers,
    prefect,
    prefect_environment,
    running,
)

PATIENCE_SECONDS = 30.0
MORE = "make up       opens the Prefect and MLflow pages"


def pipeline(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe of the run.")],
) -> None:
    """As `relex run`, recorded in Prefect and MLflow, the model in the registry."""
    chosen, console = load_run_recipe(recipe), open_terminal()
    with _flow_shown(f"relex {chosen.run_id}", console):
        from flows.pipeline import relex_extrapolate, relex_pipeline

        if isinstance(chosen, WindowRecipe):
            summary = relex_extrapolate(chosen.window.uri, recipe=chosen)
        else:
            summary = relex_pipeline(recipe=chosen)
    print_result(summary, console)
    console.print(f"{MORE} with this run")


def sweep(
    path: Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep, a YAML file.")],
) -> None:
    """Train every reward with every seed, and rank them; goes on with what is missing."""
    chosen, console = load_sweep(path), open_terminal()
    with _flow_shown(f"relex sweep {chosen.name}", console) as home:
        from flows.sweep import reward_sweep

        leaderboard = reward_sweep(chosen)
    console.print()
    console.print(terminal_table(variant_rows(leaderboard)))
    console.print(visible(leaderboard.verdict))
    console.print()
    page = home.root / "reports" / leaderboard.sweep_id / LEADERBOARD_HTML
    console.print(f"leaderboard   {visible(str(page))}", soft_wrap=True)
    console.print(f"{MORE} with all trials")


@contextmanager
def _flow_shown(title: str, console: Console) -> Iterator[Home]:
    """What a flow says in the block is shown; Prefect is imported only there, because it reads its
    settings when it is."""
    home = make_home()
    console.print(f"{title}, in {visible(str(home.root))}", soft_wrap=True)
    with prefect_api(home, console):
        from tasks.page import flush_logs, watched_by

        try:
            with shown(console) as terminal, watched_by(terminal):
                yield home
        finally:
            flush_logs()


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
    # A server's address is told once, by us, and not at the end of every candidate.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name, value in NO_TELEMETRY.items():
        os.environ.setdefault(name, value)
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
        # Links that stay: those of `make up`, which opens the same database.
        pages = {"PREFECT_UI_URL": f"http://{HOST}:{PREFECT_PAGE_PORT}"}
        os.environ.update({**prefect_environment(home, port), **pages})
        yield

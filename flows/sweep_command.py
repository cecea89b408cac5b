"""`relex sweep SWEEP`: one sweep from a terminal, with everything that it needs.

The same command goes on with what is missing.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.run import prefect_api
from relex.cli.screen import shown
from relex.config import SweepConfig, load_sweep
from relex.home import make_home
from relex.report import LEADERBOARD_HTML, terminal_table, variant_rows
from relex.sweep import Leaderboard
from relex.terminal import open_terminal
from relex.visible import visible


def sweep(
    path: Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep, a YAML file.")],
) -> None:
    """Train every reward with every seed, and rank them; goes on with what is missing."""
    run(load_sweep(path), open_terminal())


def run(sweep: SweepConfig, console: Console) -> None:
    """Run the sweep and print its leaderboard, its verdict and where to look."""
    home = make_home()
    console.print(f"relex sweep {sweep.name}, in {visible(str(home.root))}", soft_wrap=True)
    with prefect_api(home, console):
        from flows.sweep import reward_sweep
        from tasks.page import flush_logs, watched_by

        try:
            with shown(console) as terminal, watched_by(terminal):
                leaderboard = reward_sweep(sweep)
        finally:
            flush_logs()
    print_result(leaderboard, home.root / "reports" / leaderboard.sweep_id, console)


def print_result(leaderboard: Leaderboard, folder: Path, console: Console) -> None:
    console.print()
    console.print(terminal_table(variant_rows(leaderboard)))
    console.print(visible(leaderboard.verdict))
    console.print()
    page = folder / LEADERBOARD_HTML
    console.print(f"leaderboard   {visible(str(page))}", soft_wrap=True)
    console.print("make up       opens the Prefect and MLflow pages with all trials")

"""`python -m flows.sweep SWEEP`: one sweep from a terminal, with everything that it needs.

The same command goes on with what is missing.
"""

import argparse
from pathlib import Path

from rich.console import Console

from flows.run import ends_in_one_line, prefect_api
from relex.config import SweepConfig, load_sweep
from relex.home import make_home
from relex.report import LEADERBOARD_HTML, terminal_leaderboard
from relex.sweep import Leaderboard
from tasks.display import displayed


def main() -> None:
    parser = argparse.ArgumentParser(prog="relex-sweep", description=__doc__.splitlines()[0])
    parser.add_argument(
        "sweep", type=Path, help="a sweep, for example deployments/sweeps/toy-sweep.yaml"
    )
    arguments = parser.parse_args()
    console = Console()
    with ends_in_one_line(console, "Interrupted. The same command goes on with what is missing."):
        run(load_sweep(arguments.sweep), console)


def run(sweep: SweepConfig, console: Console) -> None:
    """Run the sweep and print its leaderboard, its verdict and where to look."""
    home = make_home()
    console.print(f"[bold]relex[/] sweep {sweep.name}, in {home.root}", highlight=False)
    with prefect_api(home, console):
        from flows.sweep import reward_sweep
        from tasks.progress import flush_logs

        try:
            with displayed(console):
                leaderboard = reward_sweep(sweep)
        finally:
            flush_logs()
    print_result(leaderboard, home.root / "reports" / leaderboard.sweep_id, console)


def print_result(leaderboard: Leaderboard, folder: Path, console: Console) -> None:
    console.print()
    console.print(terminal_leaderboard(leaderboard))
    # A reason may hold a model's text, and brackets in it are no mark-up.
    console.print(leaderboard.verdict, highlight=False, markup=False)
    console.print()
    page = folder / LEADERBOARD_HTML
    console.print(f"leaderboard   {page}", highlight=False, soft_wrap=True)
    console.print(
        "make ui       opens the Prefect and MLflow pages with all trials", highlight=False
    )

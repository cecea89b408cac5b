"""The `relex` command. Exit code 0 is success, 2 bad input, 1 a failure of ours."""

import gc
import sys
from importlib import import_module
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from relex.addresses import check_command
from relex.errors import RelexError

COMMANDS = (
    "benchmarks",
    "train",
    "window",
    "fit",
    "merge",
    "inspect",
    "predict",
    "extrapolate",
    "evaluate",
    "select",
)
GROUPS = {"window"}


def build_app(commands: tuple[str, ...]) -> typer.Typer:
    """The command line with these commands, each from the module of its name."""
    app = typer.Typer(
        help="Rank-1 extrapolation of short RLVR runs.",
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)
    for command in commands:
        module = import_module(f"relex.cli.{command}")
        if command in GROUPS:
            app.add_typer(getattr(module, f"{command}_app"), name=command)
        else:
            app.command(command)(getattr(module, command))
    return app


def main() -> None:
    """Run the command line; every error on purpose ends in one line on standard error."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    # Some commands import for seconds; only the one that was asked for does. What imports make
    # stays, and looking for garbage in it takes a sixth of that time.
    gc.set_threshold(100_000)
    app = build_app((asked,) if asked in COMMANDS else COMMANDS)
    try:
        check_command()
        sys.exit(app(standalone_mode=False))
    except RelexError as error:
        _fail(str(error), error.exit_code)
    except TyperException as error:
        _fail(f"{error.format_message().rstrip('.')}. See relex --help.", error.exit_code)


def _fail(message: str, exit_code: int) -> NoReturn:
    typer.echo(f"relex: {message}", err=True)
    sys.exit(exit_code)

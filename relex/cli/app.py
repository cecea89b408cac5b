"""The `relex` command. Exit code 0 is success, 2 bad input, 1 a failure of ours."""

import sys
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from relex.cli.evaluate import evaluate
from relex.cli.fit import fit
from relex.cli.inspect import inspect
from relex.cli.predict import predict
from relex.cli.select import select
from relex.cli.train import train
from relex.cli.window import window_app
from relex.errors import RelexError

app = typer.Typer(
    help="Rank-1 extrapolation of short RLVR runs.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(train)
app.add_typer(window_app, name="window")
app.command()(fit)
app.command()(inspect)
app.command()(predict)
app.command()(evaluate)
app.command()(select)


def main() -> None:
    """Run the command line; every error on purpose ends in one line on standard error."""
    try:
        sys.exit(app(standalone_mode=False))
    except RelexError as error:
        _fail(str(error), error.exit_code)
    except TyperException as error:
        _fail(f"{error.format_message()} See relex --help.", error.exit_code)


def _fail(message: str, exit_code: int) -> NoReturn:
    typer.echo(f"relex: {message}", err=True)
    sys.exit(exit_code)

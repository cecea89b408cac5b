"""The `relex` program. Exit code 0 is success, 2 bad input, 1 a failure of ours, 130 Ctrl-C."""

import gc
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from importlib.metadata import version as metadata_version
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from relex.config.addresses import check_command
from relex.errors import RelexError
from relex.visible import visible

COMMANDS = {
    "run": "relex.cli.run:run",
    "recipe": "relex.cli.recipe:recipe_app",
    "train": "relex.cli.train:train",
    "window": "relex.cli.window:window_app",
    "fit": "relex.cli.fit:fit",
    "merge": "relex.cli.fit:merge",
    "inspect": "relex.cli.inspect:inspect",
    "predict": "relex.cli.predict:predict",
    "extrapolate": "relex.cli.fit:extrapolate",
    "evaluate": "relex.cli.evaluate:evaluate",
    "select": "relex.cli.select:select",
    "benchmarks": "relex.cli.benchmarks:benchmarks",
    "cluster": "relex.cli.cluster:cluster_app",
}
"""Where each command is: a function, or a group with commands of its own."""

INTERRUPTED = 130


def main(more: Mapping[str, str] = {}) -> None:
    """Run the program, with `more` commands; every error on purpose ends in one line on standard
    error."""
    commands = {**COMMANDS, **more}
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    # Some commands import for seconds; only the one that was asked for does. What imports make
    # stays, and looking for garbage in it takes a sixth of that time.
    gc.set_threshold(100_000)
    app = build_app({asked: commands[asked]} if asked in commands else commands)
    try:
        check_command()
        sys.exit(app(standalone_mode=False))
    except RelexError as error:
        _fail(str(error), error.exit_code)
    except TyperException as error:
        _fail(f"{error.format_message().rstrip('.')}. See relex --help.", error.exit_code)


def build_app(commands: Mapping[str, str]) -> typer.Typer:
    """The program with these commands."""
    app = typer.Typer(
        help="The best checkpoint that a short RLVR run can give.",
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_options)
    for name, place in commands.items():
        module, _, attribute = place.partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(_interruptible(command))
    return app


def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"relex {metadata_version('relex')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _interruptible(command: Callable[..., Any]) -> Callable[..., Any]:
    """Ctrl-C ends the command in one line too."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            _fail("interrupted; start it again with the same command", INTERRUPTED)

    return run


def _fail(message: str, exit_code: int) -> NoReturn:
    typer.echo(f"relex: {visible(message)}", err=True)
    sys.exit(exit_code)

"""The `relex` program. Exit code 0 is success, 2 bad input, 1 a failure of ours, 130 Ctrl-C."""

import gc
import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from importlib.metadata import version as metadata_version
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from relex.cli.commands import summary_of
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

PROGRAM = "relex"
INTERRUPTED = 130


def main(more: Mapping[str, str] = {}) -> None:
    """Run the program, with `more` commands; every error on purpose ends in one line on standard
    error."""
    # What imports make stays, and looking for garbage in it takes a sixth of their time.
    gc.set_threshold(100_000)
    app = build_app({**COMMANDS, **more}, _asked())
    try:
        check_command()
        sys.exit(app(prog_name=PROGRAM, standalone_mode=False))
    except RelexError as error:
        _fail(str(error), error.exit_code)
    except TyperException as error:
        message = error.format_message().rstrip(".")
        end = "" if message.endswith("?") else "."
        _fail(f"{message}{end} See relex --help.", error.exit_code)


def _asked() -> str:
    """The command of this call, also where a shell asks how it could go on."""
    typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS")
    words = typed.split() if typed else sys.argv
    return words[1] if len(words) > 1 else ""


def build_app(commands: Mapping[str, str], asked: str) -> typer.Typer:
    """The program; of the command that is `asked` for all, of the others what its help says.

    Some commands import for seconds, which only the one that was asked for shall cost.
    """
    app = typer.Typer(
        help="The best checkpoint that a short RLVR run can give.",
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_options)
    for name, place in commands.items():
        if asked not in commands:
            app.command(name, help=summary_of(place))(_not_asked)
        elif asked == name:
            _add(app, name, place)
    return app


def command_group(commands: Mapping[str, str]) -> Any:
    """All of these commands with all that they take, for a reference."""
    app = typer.Typer()
    app.callback()(_options)
    for name, place in commands.items():
        _add(app, name, place)
    return typer.main.get_command(app)


def _add(app: typer.Typer, name: str, place: str) -> None:
    module, _, attribute = place.partition(":")
    command = getattr(import_module(module), attribute)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(_interruptible(command))


def _not_asked() -> None:
    """Stands in the help of the program for a command that was not imported."""


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

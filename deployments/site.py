"""What `make docs` adds to the pages of `docs`: the README as the first one, and references made
from the code, in which alone they are kept."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from flows.program import COMMANDS as MORE_COMMANDS
from relex.cli.app import COMMANDS, command_group
from relex.config import Recipe, SweepConfig, WindowRecipe
from relex.visible import number

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[([^\]]*)\]\((?:\.\./)?(docs/|README\.md|(?:tests|deployments)/)([^)]*)\)")
"""To a file of the clone, from the README or from a page."""

PYTHON = """# Python

What a [notebook](notebook.md) needs, and the contract tests of [code of your own](extending.md).

::: relex.notebook

::: relex.run
    options: {members: [run]}

::: relex.testing

::: relex.errors
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs: generated pages join those that were found."""
    made = {
        "index.md": (ROOT / "README.md").read_text(encoding="utf-8"),
        "recipes.md": recipe_reference(),
        "commands.md": command_reference(),
        "python.md": PYTHON,
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs for every page: links as they are in a clone become those of the site."""
    return LINK.sub(_on_site, markdown)


def _on_site(found: re.Match[str]) -> str:
    text, place, rest = found.groups()
    where = {"docs/": "", "README.md": "index.md"}.get(place)
    return f"`{place}{rest}`" if where is None else f"[{text}]({where}{rest})"


def recipe_reference() -> str:
    """Every field of a recipe and of a sweep, by its place, as its documentation has it."""
    parts = [
        "# Recipes\n\nEvery field, by its place in the file; what is left out has its default. "
        "`relex recipe new NAME` writes a recipe to start from, `relex recipe check` says what is "
        "wrong with one.\n",
        *_section("A run", "", Recipe),
        *_section("A window that is there already", "window", _nested(WindowRecipe, "window")),
        *_section("A sweep", "", SweepConfig),
    ]
    return "\n".join(parts)


def _nested(model: type[BaseModel], field: str) -> type[BaseModel]:
    (found,) = _models(model.model_fields[field].annotation)
    return found


def _section(title: str, place: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## {title}\n"
    yield from _fields(place, model)


def _fields(place: str, model: type[BaseModel]) -> Iterator[str]:
    nested: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        path = f"{place}.{name}" if place else name
        text = " ".join((field.description or "").split())
        yield f"`{path}` {_default(field.default, field.default_factory)}\n:   {text}\n"
        nested += [(path, each) for each in _models(field.annotation) if each is not Recipe]
    for path, each in nested:
        yield f"### {path}\n"
        yield f"{' '.join((each.__doc__ or '').split())}\n"
        yield from _fields(path, each)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field's type names."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _default(value: Any, factory: Any) -> str:
    if value is PydanticUndefined and factory is None:
        return "*needed*"
    if value is PydanticUndefined or isinstance(value, BaseModel) or value in ((), {}, "", None):
        return ""
    return f"= `{number(value) if isinstance(value, float) else value}`"


def command_reference() -> str:
    """Usage, arguments and options of every command."""
    group = command_group({**COMMANDS, **MORE_COMMANDS})
    return "\n".join(["# Command line\n", *_commands(group, "relex")])


def _commands(command: Any, name: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for key, each in command.commands.items():
            yield from _commands(each, f"{name} {key}")
        return
    usage = command.get_usage(typer.Context(command, info_name=name)).strip()
    yield f"## {name}\n\n```\n{usage.removeprefix('Usage: ')}\n```\n\n{command.help}\n"
    for parameter in command.params:
        if parameter.name != "help":
            yield f"`{_spelt(parameter)}`\n:   {getattr(parameter, 'help', '')}\n"


def _spelt(parameter: Any) -> str:
    is_option = parameter.param_type_name == "option"
    return ", ".join(parameter.opts) if is_option else parameter.metavar or parameter.name.upper()

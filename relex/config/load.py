"""Recipes from YAML, with one clear line for whatever is wrong in them."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from relex.config.recipe import AnyRecipe, Recipe, RunRecipe, WindowRecipe
from relex.config.sweep import SweepConfig
from relex.errors import RecipeError

Checked = TypeVar("Checked", bound=BaseModel)


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises RecipeError naming the file, the field, what was found and what to do.
    """
    return check_recipe(_read(path), str(path))


def parse_recipe(text: str, where: str) -> Recipe:
    """The recipe in a YAML text; `where` names the text in messages."""
    return check_recipe(_parse(text, where), where)


def load_run_recipe(path: Path) -> AnyRecipe:
    """As `load_recipe`, but a recipe with a `window` in place of `training` is one too."""
    return check_run_recipe(_read(path), str(path))


def parse_run_recipe(text: str, where: str) -> AnyRecipe:
    """As `parse_recipe`, but a recipe with a `window` in place of `training` is one too."""
    return check_run_recipe(_parse(text, where), where)


def load_sweep(path: Path) -> SweepConfig:
    """As `load_recipe`, for a sweep."""
    return _check(SweepConfig, _read(path), str(path))


def check_recipe(value: dict[str, Any], where: str) -> Recipe:
    """The recipe in a mapping; raises RecipeError with one line that lists every fault."""
    return _check(Recipe, value, where)


def check_run_recipe(value: dict[str, Any], where: str) -> AnyRecipe:
    """As `check_recipe`, but a mapping with a `window` is the recipe of a run without training."""
    if "window" in value:
        return _check(WindowRecipe, value, where)
    return check_recipe(value, where)


def dump_recipe(recipe: RunRecipe) -> str:
    """The recipe as YAML with every default written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}); give a YAML recipe") from error
    return _parse(text, str(path))


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise RecipeError(f"{where}: holds {type(value).__name__}, not a mapping of recipe fields")
    return value


def _check(model: type[Checked], value: dict[str, Any], where: str) -> Checked:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = "; ".join(_describe(fault, model) for fault in error.errors())
        raise RecipeError(f"{where}: {faults}") from error


def _describe(fault: Any, model: type[BaseModel]) -> str:
    location = [str(part) for part in fault["loc"]]
    path = ".".join(location)
    if fault["type"] == "extra_forbidden":
        return f"{path}: unknown key{_suggestion(location, model)}"
    if fault["type"] == "missing":
        return f"{path}: missing"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{path}.{message}" if path else message
    return f"{path}: {message[0].lower()}{message[1:]}, found {fault['input']!r}"


def _suggestion(location: list[str], section: type[BaseModel]) -> str:
    """`; did you mean X?` when the unknown key resembles a field of the same section."""
    for part in location[:-1]:
        field = section.model_fields.get(part)
        if field is None:
            return ""
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            section = field.annotation
    close = difflib.get_close_matches(location[-1], section.model_fields, n=1)
    return f"; did you mean {close[0]}?" if close else ""

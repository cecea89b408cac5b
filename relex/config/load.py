"""Recipes and sweeps from YAML, with one clear line for whatever is wrong in them."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from relex.config.recipe import Recipe
from relex.config.sweep import SweepConfig
from relex.errors import RecipeError

Config = TypeVar("Config", Recipe, SweepConfig)


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises RecipeError naming the file, the field, what was found and what to do.
    """
    return parse_recipe(_read(path), str(path))


def load_sweep(path: Path) -> SweepConfig:
    """As `load_recipe`, for a sweep."""
    return _checked(SweepConfig, _mapping(_read(path), str(path)), str(path))


def parse_recipe(text: str, where: str) -> Recipe:
    """The recipe in a YAML text; `where` names the text in messages."""
    return check_recipe(_mapping(text, where), where)


def check_recipe(value: dict[str, Any], where: str) -> Recipe:
    """The recipe in a mapping; raises RecipeError with one line that lists every fault."""
    return _checked(Recipe, value, where)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}); give a YAML recipe") from error


def _mapping(text: str, where: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise RecipeError(f"{where}: holds {type(value).__name__}, not a mapping of recipe fields")
    return value


def _checked(model: type[Config], value: dict[str, Any], where: str) -> Config:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = "; ".join(_describe(model, fault) for fault in error.errors())
        raise RecipeError(f"{where}: {faults}") from error


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every default written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _describe(model: type[BaseModel], fault: Any) -> str:
    location = [str(part) for part in fault["loc"]]
    path = ".".join(location)
    if fault["type"] == "extra_forbidden":
        return f"{path}: unknown key{_suggestion(model, location)}"
    if fault["type"] == "missing":
        return f"{path}: missing"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{path}.{message}" if path else message
    return f"{path}: {message[0].lower()}{message[1:]}, found {fault['input']!r}"


def _suggestion(section: type[BaseModel], location: list[str]) -> str:
    """`; did you mean X?` when the unknown key resembles a field of the same section."""
    for part in location[:-1]:
        field = section.model_fields.get(part)
        if field is None:
            return ""
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            section = field.annotation
    close = difflib.get_close_matches(location[-1], section.model_fields, n=1)
    return f"; did you mean {close[0]}?" if close else ""

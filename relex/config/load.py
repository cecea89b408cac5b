"""Recipes from YAML, with one clear line for whatever is wrong in them."""

import difflib
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from relex.config.recipe import AnyRecipe, Recipe, RunRecipe, WindowRecipe
from relex.config.sweep import SweepConfig
from relex.config.yaml_text import parse_mapping, read_text
from relex.errors import RecipeError
from relex.visible import one_line

Checked = TypeVar("Checked", bound=BaseModel)
MOST_FAULTS = 10
KEY_CHARACTERS, VALUE_CHARACTERS, MESSAGE_CHARACTERS = 60, 200, 600
LONGEST_BITS = 200
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = VALUE_CHARACTERS


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises RecipeError naming the file, the field, what was found and what to do.
    """
    return check_recipe(_read(path), str(path))


def parse_recipe(text: str, where: str) -> Recipe:
    """The recipe in a YAML text; `where` names the text in messages."""
    return check_recipe(parse_mapping(text, where), where)


def load_run_recipe(path: Path) -> AnyRecipe:
    """As `load_recipe`, but a recipe with a `window` in place of `training` is one too."""
    return check_run_recipe(_read(path), str(path))


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
    return parse_mapping(read_text(path), str(path))


def _check(model: type[Checked], value: dict[str, Any], where: str) -> Checked:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        told = [_describe(fault, model) for fault in error.errors()[:MOST_FAULTS]]
        more = error.error_count() - len(told)
        told += [f"and {more} more"] if more else []
        raise RecipeError(f"{where}: {'; '.join(told)}") from error


def _describe(fault: Any, model: type[BaseModel]) -> str:
    location = [one_line(str(part), KEY_CHARACTERS) for part in fault["loc"]]
    path = ".".join(location)
    if fault["type"] == "extra_forbidden":
        return f"{path}: unknown key{_suggestion(location, model)}"
    if fault["type"] == "missing":
        return f"{path}: missing"
    message = one_line(fault["msg"].removeprefix("Value error, "), MESSAGE_CHARACTERS)
    if fault["type"] == "value_error":
        return f"{path}.{message}" if path else message
    return f"{path}: {message[0].lower()}{message[1:]}, found {_shown(fault['input'])}"


def _shown(value: Any) -> str:
    """The value, short however large, long or deep it is."""
    if isinstance(value, int) and value.bit_length() > LONGEST_BITS:
        return f"a number of {value.bit_length()} bits"
    return one_line(_SHORT.repr(value), VALUE_CHARACTERS)


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

"""The form on the pages of our flows: what it asks for, and the recipe that the answers make.

The answers start from a preset, which is a recipe of `deployments/recipes`. What is filled in takes
the place of the preset's value; titles, descriptions and limits are those of the recipe's fields.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, WithJsonSchema

from relex.config import Recipe, SweepConfig, WindowRecipe, check_run_recipe, load_recipe
from relex.errors import RecipeError
from relex.visible import number
from tasks.form_questions import KINDS, USES, lay_questions

PRESETS = Path(__file__).parents[1] / "deployments" / "recipes"
TOY = "toy"
AS_PRESET, LEFT_OUT, SET_HERE = "as in the preset", "left out", "set here"
PLACES = {
    "window": "window.uri",
    "name": "name",
    "base": "base.path",
    "prompt": "problems.prompt.template",
    "rewards": "rewards",
    "grader": "evaluation.grader",
    "learning_rate": "training.learning_rate",
    "steps": "training.steps",
    "targets": "extrapolation.targets",
    "observed_steps": "evaluation.observed_steps",
    "samples_per_question": "evaluation.samples_per_question",
    "seed": "seed",
}
"""Where in the recipe an answer belongs, by the name of its field in the form."""

UNTOLD = ("name", "prompt")
"""What the presets have there tells nothing, or takes many lines."""

LIMITS = {
    "exclusiveMinimum": "above {}",
    "minimum": "at least {}",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
    "maxLength": "at most {} characters",
}

Schema = dict[str, Any]


def recipe_of(answers: Mapping[str, Any]) -> Recipe | WindowRecipe:
    """The complete recipe that the parameters of a flow run stand for.

    That of a run without training where they, or the complete recipe among them, have a `window`.
    Raises RecipeError that names every wrong field, in one line.
    """
    given = answers.get("recipe")
    filled = {name: answers[name] for name in PLACES if answers.get(name) is not None}
    if given is None:
        value = _preset(answers.get("preset", ""))
        if "window" in answers:
            value = _without_training(value)
        value = lay_questions(value, answers)
        value = _laid_over(value, answers.get("overrides") or {})
        for name, answer in filled.items():
            value = _laid_over(value, _nested(PLACES[name], answer))
        return check_run_recipe(value, "form")
    whole = given if isinstance(given, Recipe | WindowRecipe) else check_run_recipe(given, "recipe")
    filled |= {name: answers[name] for name in USES if answers.get(name)}
    if isinstance(whole, WindowRecipe) and filled.get("window") == whole.window.uri:
        del filled["window"]  # which has to be stated in any case
    if filled:
        raise RecipeError(
            f"form: {', '.join(filled)} cannot be set beside a complete recipe; set it in the "
            "recipe, or leave recipe empty"
        )
    return whole


def asks_preset() -> WithJsonSchema:
    """The choice of a preset."""
    text = (
        "A recipe to start from; all that is not set below comes from it. `toy` takes a few "
        "minutes on two CPU cores and the other toys one; the others are real models, and the "
        "paper's runs need GPUs."
    )
    return WithJsonSchema({"type": "string", "enum": list(presets()), "description": text})


def asks(name: str, *, has_preset: bool = True) -> WithJsonSchema:
    """A field of the recipe: nothing, which is the preset's value where it has one, or a value
    within the limits."""
    schema = _schema_at(PLACES[name])
    branches = [{"title": SET_HERE, **branch} for branch in schema.get("anyOf", [schema])]
    for branch in branches:
        branch.pop("description", None)
    limits = "; ".join(filter(None, map(_limits, branches)))
    text = " ".join(schema["description"].split())
    text = f"{text} {limits.capitalize()}." if limits else text
    told = f"{text}\n\n{_values(name)}" if has_preset and name not in UNTOLD else text
    unset = {"type": "null", "title": AS_PRESET if has_preset else LEFT_OUT}
    return WithJsonSchema({"anyOf": [unset, *branches], "description": told})


def asks_window() -> WithJsonSchema:
    """The one thing that a run without training cannot do without."""
    schema = _schema_at(PLACES["window"])
    return WithJsonSchema({**schema, "description": " ".join(schema["description"].split())})


def asks_questions(name: str) -> WithJsonSchema:
    """A set of questions, in one line of text."""
    branches = [
        {"type": "null", "title": AS_PRESET},
        {"type": "string", "title": SET_HERE, "minLength": 1},
    ]
    told = f"{USES[name]} {KINDS}"
    return WithJsonSchema({"anyOf": branches, "description": told})


def asks_overrides() -> WithJsonSchema:
    """What the form has no field for."""
    text = (
        "Any other fields of the recipe, in JSON, for example "
        '`{"training": {"kl_beta": 0.01}, "storage": {"uri": "s3://bucket/relex"}}`. '
        "An unknown name is refused."
    )
    return _asks_object(text, "set here")


def asks_recipe() -> WithJsonSchema:
    """A whole recipe in place of all the others."""
    text = "For programs: a complete recipe in JSON. Preset and overrides then do not count."
    return _asks_object(text, "complete recipe")


def _asks_object(text: str, title: str) -> WithJsonSchema:
    branches = [{"type": "null", "title": LEFT_OUT}, {"type": "object", "title": title}]
    return WithJsonSchema({"anyOf": branches, "description": text})


@cache
def presets() -> dict[str, Recipe]:
    """The shipped recipes by name, the toys first."""
    paths = sorted(
        PRESETS.glob("*.yaml"), key=lambda path: (not path.stem.startswith(TOY), path.stem)
    )
    return {path.stem: load_recipe(path) for path in paths}


def _preset(name: str) -> dict[str, Any]:
    """The recipe as its file states it: names of benchmarks and defaults not written out."""
    if name not in presets():
        raise RecipeError(f"form: preset: there is no {name!r}; choose {', '.join(presets())}")
    stated: dict[str, Any] = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    return stated


def _without_training(recipe: dict[str, Any]) -> dict[str, Any]:
    """The preset for a window that is there: its base, questions, prompts and grading.

    Its targets and observed steps are those of its own window.
    """
    evaluation = {k: v for k, v in recipe["evaluation"].items() if k != "observed_steps"}
    kept = {key: value for key, value in recipe.items() if key != "training"}
    return kept | {"evaluation": evaluation, "extrapolation": {"targets": "auto"}, "window": {}}


def _laid_over(below: Any, above: Any) -> Any:
    """`above` where it says something, `below` elsewhere; only mappings are merged."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    merged = {key: _laid_over(below.get(key), value) for key, value in above.items()}
    return {**below, **merged}


def _nested(place: str, value: Any) -> Any:
    for key in reversed(place.split(".")):
        value = {key: value}
    return value


def _at(recipe: Recipe, place: str) -> Any:
    value: Any = recipe.model_dump(mode="json")
    for key in place.split("."):
        value = value[key]
    return value


def _values(name: str) -> str:
    """What the presets have, such as `30 in toy, 75 in qwen3-4b-base`."""
    presets_of: dict[str, list[str]] = {}
    for preset, recipe in presets().items():
        presets_of.setdefault(_shown(_at(recipe, PLACES[name])), []).append(preset)
    if len(presets_of) == 1:
        return f"**{next(iter(presets_of))}** in every preset."
    told = [f"**{value}** in {', '.join(presets)}" for value, presets in presets_of.items()]
    return f"{'; '.join(told)}."


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, dict):
        return str(value["reward"])
    return number(value) if isinstance(value, float) else str(value)


def _limits(schema: Schema) -> str:
    """`above 0, at most 1`."""
    return ", ".join(words.format(schema[key]) for key, words in LIMITS.items() if key in schema)


def _schema_at(place: str) -> Schema:
    """The JSON schema of a recipe's field, with what it refers to written out in it."""
    *sections, name = place.split(".")
    model: type[BaseModel] = (
        Recipe if place.partition(".")[0] in Recipe.model_fields else WindowRecipe
    )
    for section in sections:
        nested = model.model_fields[section].annotation
        assert isinstance(nested, type) and issubclass(nested, BaseModel)
        model = nested
    whole = model.model_json_schema()
    schema = written_out(whole["properties"][name], whole.get("$defs", {}))
    return {key: value for key, value in schema.items() if key not in ("title", "default")}


def written_out(schema: Any, definitions: Mapping[str, Schema]) -> Any:
    """The schema without references, as a form needs it.

    Properties keep their order in a database that sorts keys, and are called as in a recipe.
    """
    if isinstance(schema, list):
        return [written_out(entry, definitions) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return written_out(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    schema = _one_text(schema)
    found = {key: written_out(value, definitions) for key, value in schema.items()}
    for position, (name, field) in enumerate(found.get("properties", {}).items()):
        field |= {"position": position, "title": name}
    return found


def _one_text(schema: Schema) -> Schema:
    """A choice between texts as one field of text: of several, the page opens the first for every
    text, where one of the others looks as if nothing had been set."""
    branches = schema.get("anyOf", [])
    if not branches or not all("enum" in each or "pattern" in each for each in branches):
        return schema
    patterns = [
        "|".join(map(re.escape, branch["enum"])) if "enum" in branch else branch["pattern"]
        for branch in branches
    ]
    told = {key: value for key, value in schema.items() if key != "anyOf"}
    bare = (pattern.removeprefix("^").removesuffix("$") for pattern in patterns)
    return {**told, "type": "string", "pattern": f"^({'|'.join(bare)})$"}


def asks_sweep() -> WithJsonSchema:
    """All fields of a sweep; a complete recipe as its base is JSON, and not its hundred fields."""
    schema: dict[str, Any] = SweepConfig.model_json_schema()
    fields = schema["properties"]
    named = f"({'|'.join(presets())}|.*\\.ya?ml)"
    branches = [
        {"type": "string", "title": "name or file", "pattern": f"^{named}$"},
        {"type": "object", "title": "complete recipe"},
    ]
    told = f"{fields['base']['description']} Shipped: {', '.join(presets())}."
    fields["base"] = {"anyOf": branches, "description": told}
    return WithJsonSchema(written_out(schema, schema.pop("$defs")))

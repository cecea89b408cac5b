"""The form of a sweep: the fields of a sweep's file in their order, with a base to choose."""

from typing import Any

from pydantic import WithJsonSchema

from relex.config import SweepConfig
from tasks.form import presets, written_out


def asks_sweep() -> WithJsonSchema:
    """All fields of a sweep; a complete recipe as its base is JSON, and not its hundred fields."""
    schema: dict[str, Any] = SweepConfig.model_json_schema()
    fields = schema["properties"]
    branches = [
        {"type": "string", "title": "shipped recipe", "enum": list(presets())},
        {"type": "string", "title": "recipe file", "pattern": r"\.ya?ml$"},
        {"type": "object", "title": "complete recipe"},
    ]
    fields["base"] = {"anyOf": branches, "description": fields["base"]["description"]}
    return WithJsonSchema(written_out(schema, schema.pop("$defs")))

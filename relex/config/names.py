"""Fields of a recipe that name code: a built-in, or one of the user's own as `module:name`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from relex.doors.door import OWN, Door

OWN_NAME = {"type": "string", "title": "your own", "pattern": f"^{OWN.pattern}$"}


def one_of(names: Iterable[str]) -> WithJsonSchema:
    """In forms a choice of `names`, beside a place to type one's own."""
    built_in: dict[str, Any] = {"type": "string", "title": "built-in", "enum": list(names)}
    return WithJsonSchema({"anyOf": [built_in, OWN_NAME]})


@dataclass(frozen=True)
class KnownTo:
    """Refuses a name that cannot be one of the door's; whether it exists is found out later."""

    door: Door

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, name: str) -> str:
        if not self.door.knows(name):
            raise PydanticCustomError(
                "name",
                "input should be {names}, or your own as module:name",
                {"names": ", ".join(self.door.built_in)},
            )
        return name

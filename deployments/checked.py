"""What a person wrote for Prefect, as Prefect takes it: nothing of it dropped without a word."""

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from relex.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], entry: Any, where: str) -> Model:
    """The entry as `model`; raises InputError when it is none, or has keys that the model drops."""
    try:
        taken = model.model_validate(entry)
    except ValidationError as error:
        raise InputError(f"{where}: Prefect does not take it: {error}") from error
    kept = taken.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if lines := list(_dropped(entry, kept, where)):
        raise InputError("\n".join(lines))
    return taken


def _dropped(written: Any, kept: Any, where: str) -> Iterator[str]:
    if isinstance(written, dict) and isinstance(kept, dict):
        for key, value in written.items():
            if key in kept:
                yield from _dropped(value, kept[key], f"{where}.{key}")
            else:
                yield (
                    f"{where}.{key}: Prefect does not know this key and drops it; "
                    "correct or remove it"
                )
    elif isinstance(written, list) and isinstance(kept, list):
        for index, pair in enumerate(zip(written, kept, strict=True)):
            yield from _dropped(*pair, f"{where}[{index}]")

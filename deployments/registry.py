"""prefect.yaml, read and checked: what Prefect would drop from it without a word is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from prefect.cli.deploy._models import PrefectYamlModel
from pydantic import BaseModel, ValidationError

from relex.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
REGISTRY = ROOT / "prefect.yaml"
Entry = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


def read_registry(path: Path = REGISTRY) -> Entry:
    """The file's content; raises InputError with a line for everything in it that Prefect does
    not take."""
    if not path.is_file():
        raise InputError(f"{path}: does not exist; run this in a clone of relex")
    registry = yaml.safe_load(path.read_text())
    checked(PrefectYamlModel, registry, path.name)
    if not registry.get("pull"):
        raise InputError(
            f"{path}: pull: is missing; without it runs start in the folder from which they were "
            "deployed, also on other machines"
        )
    return dict(registry)


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

"""The model card of a checkpoint: README.md, with what the Hub reads of it at its top, and the
licence that the base came with."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

CARD, MODEL_KIND = "README.md", "model"
TERMS = ("LICENSE*", "NOTICE*")
"""Files that go where the weights go."""

FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
LICENCE_FIELDS = ("license", "license_name", "license_link")
NO_LICENCE = (
    "The base states no licence in its folder. Whatever it is, it is that of these weights too: "
    "look it up before you pass them on."
)


def write_card(
    folder: Path, base: Path, base_name: str, body: str, datasets: Sequence[str] = ()
) -> None:
    """Write the card of the checkpoint in `folder` and copy the terms of the base beside it.

    `base_name` is the base as a person names it, and `datasets` are repositories on the Hub.
    """
    licence = licence_of(base)
    stated: dict[str, Any] = {
        **licence,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["relex", "rlvr", "grpo"],
    }
    if is_repository(base_name):
        stated |= {"base_model": base_name.partition("@")[0], "base_model_relation": "finetune"}
    if datasets:
        stated["datasets"] = list(datasets)
    top = yaml.safe_dump(stated, sort_keys=True, allow_unicode=True)
    name = licence.get("license_name") or licence.get("license")
    terms = f"That of the base: {name}." if name else NO_LICENCE
    text = f"---\n{top}---\n{body.strip()}\n\n## Licence\n\n{terms}\n"
    (folder / CARD).write_text(text, encoding="utf-8")
    for pattern in TERMS:
        for path in sorted(base.glob(pattern)):
            shutil.copyfile(path, folder / path.name)


def licence_of(base: Path) -> dict[str, str]:
    """What the card of the base says of its licence, as the Hub wants it; empty where it is silent
    or there is no card."""
    try:
        found = FRONT_MATTER.match((base / CARD).read_text(encoding="utf-8"))
        stated = yaml.safe_load(found[1]) if found else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    if not isinstance(stated, Mapping):
        return {}
    return {name: str(stated[name]) for name in LICENCE_FIELDS if stated.get(name)}


def is_repository(name: str) -> bool:
    """Whether a base or a data set is named by its repository on the Hub, with or without
    `@REVISION`."""
    return REPOSITORY.fullmatch(name.partition("@")[0]) is not None and not Path(name).exists()

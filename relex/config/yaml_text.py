"""YAML as recipes use it: plain values, each key once, nothing that grows when it is read.

YAML can say more than a recipe means: a key twice (the last wins, silently), tags that build
objects, names that multiply a text (`&a`, `*a`) or lead back to themselves, and nesting without
end. All of it is refused with the line where it stands, before anything is built.
"""

from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode

from relex.errors import RecipeError
from relex.visible import one_line

LONGEST_BYTES = 256_000
"""A hundred times the longest recipe that is shipped."""

DEEPEST = 30
MOST_ALIASES = 100
MERGE = "tag:yaml.org,2002:merge"
TIMESTAMP = "tag:yaml.org,2002:timestamp"


def read_text(path: Path) -> str:
    """The text of a recipe; raises RecipeError when it cannot be read or is no recipe's size."""
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}); give a YAML recipe") from error
    if len(data) > LONGEST_BYTES:
        raise RecipeError(
            f"{path}: holds more than {LONGEST_BYTES:,} bytes, which no recipe does; give a YAML "
            "recipe, and questions in a file of their own"
        )
    return text


def parse_mapping(text: str, where: str) -> dict[str, Any]:
    """The mapping in a YAML text; `where` names the text in messages. Raises RecipeError."""
    try:
        _check_shape(text)
        value = yaml.load(text, _Loader)
    except _Refused as error:
        raise RecipeError(f"{where}: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: a number of more digits than Python reads, or of none, as in 0x_.
        raise RecipeError(f"{where}: not valid YAML: {one_line(str(error), 300)}") from error
    if not isinstance(value, dict):
        found = "nothing" if value is None else type(value).__name__
        raise RecipeError(f"{where}: holds {found}, not a mapping of recipe fields")
    return value


class _Refused(Exception):
    """What YAML allows and a recipe does not hold."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice or is no text."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        # Before keys are merged in with <<, which a key of its own may override.
        for key_node, _ in node.value:
            key = "<<" if key_node.tag == MERGE else self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _fault(key_node, f"the key {key!r} is no text; put it in quotes")
            if key in seen:
                raise _fault(key_node, f"{key!r} is there twice; keep one of them")
            seen.add(key)
        return super().construct_mapping(node, deep)


# A date is the text that was written.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _check_shape(text: str) -> None:
    """Raise for what could grow beyond the text or recurse; this itself does neither."""
    depth, num_aliases = 0, 0
    anchor_depth = DEEPEST  # of the outermost collection with a name that we are in
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            num_aliases += 1
            if anchor_depth < depth or num_aliases > MOST_ALIASES:
                raise _fault(event, f"*{event.anchor} multiplies the text; write it out")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag:
            raise _fault(event, f"the tag {event.tag} is not for recipes; remove it")
        if isinstance(event, yaml.CollectionStartEvent):
            if event.anchor is not None:
                anchor_depth = min(anchor_depth, depth)
            depth += 1
            if depth > DEEPEST:
                raise _fault(event, f"is nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            if depth == anchor_depth:
                anchor_depth = DEEPEST


def _fault(found: Any, words: str) -> _Refused:
    """`found` is an event or a node of PyYAML's, which knows its place."""
    return _Refused(f"line {found.start_mark.line + 1}: {one_line(words, 200)}")

"""Names of tensors, short, and where they sit in a model."""

import re

from relex.visible import one_line

LAYER = re.compile(r"\.(\d+)\.")


def short_name(name: str) -> str:
    """The name without what all names share."""
    return name.removeprefix("model.").removesuffix(".weight")


def kind_of(name: str) -> str:
    """The name without its numbers: the same for the tensors that do the same in every layer."""
    return LAYER.sub(".", name)


def layer_of(name: str) -> int | None:
    """Number of the tensor's layer; None for one outside the layers."""
    found = LAYER.search(name)
    return int(found[1]) if found else None


def module_of(name: str) -> str:
    """What the tensor is called within its layer, such as `q_proj`; outside, its short name."""
    found = LAYER.search(name)
    if found is None:
        return short_name(name)
    inside = kind_of(name[found.end() :].removesuffix(".weight"))
    return re.sub(r"^(self_attn|mlp)\.", "", inside)


def shorten(name: str, num_characters: int) -> str:
    """The short name, without its middle where it is too long.

    Layers differ at the start, modules at the end.
    """
    return one_line(short_name(name), num_characters)

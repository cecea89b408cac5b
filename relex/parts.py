"""A part of a model's tensors: a range of layers, one kind of their modules, or both.

Layers and kinds are read off the names that transformers uses. Norms are of no kind: they move with
whole layers. The last norm, and the towers of other senses than text, are in no part.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from relex.errors import InputError

MLP, ATTENTION, EMBEDDINGS = "mlp", "attention", "embeddings"

WORDS = {MLP: "MLPs", ATTENTION: "attention", EMBEDDINGS: "embeddings and head"}
"""What each kind is called; the last is outside of all layers."""

TEXT = re.compile(r"(?:(\d+)(?:-(\d+))?)?(?:(?:^|\.)([a-z]+))?")
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.(\d+)\.")
OTHER_SENSES = re.compile(r"vision|visual|audio")
NORM = re.compile(r"norm|(?:^|\.)ln_")
KIND_OF = (
    (MLP, re.compile(r"\.(?:mlp|feed_forward|ffn|\w*moe|experts)\.")),
    (ATTENTION, re.compile(r"\.\w*(?:attn|attention)\.")),
)
EMBEDDING = re.compile(r"(?:^|\.)(?:\w*embed\w*|lm_head|wte|wpe)\.")


@dataclass(frozen=True)
class Part:
    """Tensors of the layers `first` to `last` and of the kind; all where neither is said."""

    layers: tuple[int, int] | None = None
    kind: str = ""

    @property
    def text(self) -> str:
        """`20-29`, `mlp`, `2-3.mlp`, `7.attention`, or nothing for all; names this part alone."""
        if self.layers is None:
            return self.kind
        first, last = self.layers
        numbers = f"{first}" if first == last else f"{first}-{last}"
        return f"{numbers}.{self.kind}" if self.kind else numbers

    @property
    def words(self) -> str:
        """As a reader says it: `MLPs of layers 20 to 29`."""
        if self.layers is None:
            return WORDS.get(self.kind, "")
        first, last = self.layers
        numbers = f"layer {first}" if first == last else f"layers {first} to {last}"
        return f"{WORDS[self.kind]} of {numbers}" if self.kind else numbers

    def holds(self, name: str) -> bool:
        """Whether the tensor of this name is in the part."""
        if self == ALL:
            return True
        layer, kind = place_of(name)
        is_there = self.layers is None or (
            layer is not None and self.layers[0] <= layer <= self.layers[1]
        )
        return is_there and (not self.kind or kind == self.kind)

    def names(self, tensors: Collection[str]) -> set[str]:
        """Those of the tensors that are in the part; raises InputError when none is."""
        found = {name for name in tensors if self.holds(name)}
        if not found:
            raise InputError(
                f"part {self.text}: the base has no such tensor; it has {num_layers(tensors)} "
                f"layers, counted from 0, and of the kinds {', '.join(_kinds(tensors)) or 'none'}"
            )
        return found


ALL = Part()


def find_part(text: str) -> Part:
    """The part that `text` names, all tensors for none; raises InputError when it is not so."""
    found = TEXT.fullmatch(text)
    if found is not None:
        first, last, kind = found.groups()
        layers = (int(first), int(last or first)) if first else None
        part = Part(layers, kind or "")
        is_kind = kind in WORDS or not kind
        is_range = layers is None or (layers[0] <= layers[1] and kind != EMBEDDINGS)
        if is_kind and is_range and part.text == text:
            return part
    raise InputError(
        f"part {text}: is none; give layers as 20-29 or 7, a kind as {', '.join(WORDS)}, or both "
        "as 20-29.mlp"
    )


def place_of(name: str) -> tuple[int | None, str]:
    """The layer of a tensor, None outside of them, and its kind, empty for a norm and others."""
    if OTHER_SENSES.search(name):
        return None, ""
    found = LAYER.search(name)
    layer = None if found is None else int(found[1])
    if NORM.search(name):
        return layer, ""
    if layer is None:
        return None, EMBEDDINGS if EMBEDDING.search(name) else ""
    kinds = (kind for kind, pattern in KIND_OF if pattern.search(name))
    return layer, next(kinds, "")


def num_layers(tensors: Iterable[str]) -> int:
    """Layers of the model that has these tensors; 0 where the names tell none."""
    layers = (place_of(name)[0] for name in tensors)
    return max((layer + 1 for layer in layers if layer is not None), default=0)


def _kinds(tensors: Iterable[str]) -> list[str]:
    found = {place_of(name)[1] for name in tensors}
    return [kind for kind in WORDS if kind in found]

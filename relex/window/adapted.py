"""Which weights of the base an adapter moves, and by which of its tensors."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from relex.checkpoints import Checkpoint, TensorInfo
from relex.errors import WindowError
from relex.window.adapter_config import CONFIG_FILE, AdapterConfig

PREFIX = "base_model.model."
FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<factor>[AB])(\.weight)?")


@dataclass(frozen=True)
class Adapted:
    """A module whose weight moves by a product."""

    module: str
    """Full name in the base, without `.weight`."""

    key_a: str
    """Name of A in the adapter file: K x inputs."""

    key_b: str
    """Name of B: outputs x K."""

    is_transposed: bool
    """Whether the weight is stored as inputs x outputs: (B A)^T."""


class Adapters:
    """The tensors of an adapter and the weights of the base that they belong to."""

    def __init__(
        self,
        where: str,
        found: Mapping[str, TensorInfo],
        config: AdapterConfig,
        base: Checkpoint,
    ) -> None:
        """Raises WindowError when the adapter is more than plain products, or does not fit."""
        self._where, self._config, self._base = where, config, base
        self.adapted = self._pair(found)
        """Weights that move by a product, by their names in the base."""
        self.saved = self._find_saved(found)
        """Whole weights beside the products (`modules_to_save`): name in the base to key."""
        for name, adapted in self.adapted.items():
            self._check_shape(name, adapted, found)

    def _pair(self, found: Mapping[str, TensorInfo]) -> dict[str, Adapted]:
        keys: dict[str, dict[str, str]] = {}
        embeddings = set()
        for key, match in _factors(found):
            module = match["module"].removeprefix(PREFIX)
            keys.setdefault(module, {})[match["factor"]] = key
            if match["kind"]:
                embeddings.add(module)
        for module, pair in keys.items():
            if len(pair) != 2:
                raise WindowError(f"{self._where}: {module} has only one of A and B")
        if not keys:
            raise WindowError(f"{self._where}: the adapters hold no lora_A and lora_B")
        return {
            self._in_base(f"{module}.weight"): Adapted(
                module, pair["A"], pair["B"], module in embeddings or self._config.fan_in_fan_out
            )
            for module, pair in sorted(keys.items())
        }

    def _find_saved(self, found: Mapping[str, TensorInfo]) -> dict[str, str]:
        factors = {key for key, _ in _factors(found)}
        return {self._in_base(key.removeprefix(PREFIX)): key for key in found if key not in factors}

    def _in_base(self, name: str) -> str:
        if name not in self._base.tensors:
            raise WindowError(
                f"{self._where}: adapts {name}, which {self._base.folder} does not have; give the "
                "base that was trained"
            )
        return name

    def _check_shape(self, name: str, adapted: Adapted, found: Mapping[str, TensorInfo]) -> None:
        a_shape, b_shape = found[adapted.key_a].shape, found[adapted.key_b].shape
        shape = (b_shape[0], *a_shape[1:])
        if adapted.is_transposed:
            shape = shape[::-1]
        rank = self._config.rank(adapted.module)
        if a_shape[0] != rank:
            raise WindowError(
                f"{self._where}: A of {name} has {a_shape[0]} rows, {CONFIG_FILE} says rank {rank}"
            )
        if b_shape[1:] != a_shape[:1] or shape != self._base.tensors[name].shape:
            raise WindowError(
                f"{self._where}: B {list(b_shape)} times A {list(a_shape)} of {name} does not fit "
                f"its shape in the base, {list(self._base.tensors[name].shape)}"
            )


def trained(found: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Without the copies of base weights that PEFT saves beside adapters of embeddings."""
    return {key: info for key, info in found.items() if ".base_layer." not in key}


def _factors(found: Collection[str]) -> Iterator[tuple[str, re.Match[str]]]:
    for key in found:
        match = FACTOR.fullmatch(key)
        if match is not None:
            yield key, match

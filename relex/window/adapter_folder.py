"""A folder of LoRA adapters as a window.

The displacement of a module at a step is `scale * B A`, which nobody rounds: merging it into the
base first would lose the digits that the base's size hides.
M rows and N columns of a weight, K columns of a product.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from relex.checkpoints import Checkpoint, TensorFile, TensorInfo, all_finite
from relex.digests import sha256_file, sha256_json
from relex.errors import WindowError
from relex.storage.folder import FolderStore
from relex.window.adapter_config import CONFIG_FILE, AdapterConfig, read_adapter_config
from relex.window.checkpoint_folder import step_folders
from relex.window.low_rank import LowRank
from relex.window.same_tensors import same_tensors

ADAPTER_FILE = "adapter_model.safetensors"
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


def is_adapter_folder(folder: Path) -> bool:
    """Whether the checkpoints in a folder are adapters; raises WindowError as `step_folders`."""
    return any((path / CONFIG_FILE).is_file() for path in step_folders(folder).values())


class AdapterFolder:
    """Sub-folders named `checkpoint-N`, `global_step_N` or `step_N`, as PEFT saves them.

    A Window of the merged weights in float32, and the products themselves.
    """

    def __init__(self, folder: Path, base: Checkpoint) -> None:
        """Read configs and headers.

        Raises WindowError when a step has no adapter, the steps differ, an adapter is more than
        plain products, or does not fit the base; CheckpointError when a file is damaged.
        """
        self.where, self._base = str(folder), base
        self.base_digest: str | None = None
        self._folder_of = dict(sorted(step_folders(folder).items()))
        self.steps = tuple(self._folder_of)
        self._config = self._common_config()
        self._file_of = {step: _open(path) for step, path in self._folder_of.items()}
        found = same_tensors(self.where, {s: _trained(file) for s, file in self._file_of.items()})
        self.adapted = self._pair(found)
        self.saved = self._find_saved(found)
        self.tensors = {name: self._info(name, info) for name, info in base.tensors.items()}
        for name, adapted in self.adapted.items():
            self._check_shape(name, adapted, found)

    @property
    def newest_config(self) -> Path:
        return self._folder_of[self.steps[-1]] / CONFIG_FILE

    def product(self, step: int, name: str) -> LowRank:
        """The displacement of an adapted weight; raises WindowError when it is not finite."""
        self._check_known(step, name)
        adapted, file = self.adapted[name], self._file_of[step]
        a_KN, b_MK = (file.read_tensor(key).float() for key in (adapted.key_a, adapted.key_b))
        if not (all_finite(a_KN) and all_finite(b_MK)):
            raise WindowError(
                f"{self.where}: step {step}: the adapter of {name} has values that are not finite; "
                "leave the step out or train again"
            )
        b_MK = b_MK * self._config.scale(adapted.module)
        return LowRank(a_KN.T, b_MK.T) if adapted.is_transposed else LowRank(b_MK, a_KN)

    def read(self, step: int, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        self._check_known(step, name)
        stop = self.tensors[name].num_elements if stop is None else stop
        if name in self.saved:
            return self._file_of[step].read(self.saved[name], start, stop)
        base_N = self._base.read(name, start, stop)
        if name not in self.adapted:
            return base_N
        return base_N.float() + self.product(step, name).read(start, stop)

    def read_rows(self, steps: Sequence[int], name: str, start: int, out_SN: torch.Tensor) -> None:
        for step, out_N in zip(steps, out_SN, strict=True):
            out_N.copy_(self.read(step, name, start, start + len(out_N)))

    def digest(
        self, steps: Sequence[int] | None = None, names: Collection[str] | None = None
    ) -> str:
        chosen = [self._folder_of[step] for step in steps or self.steps]
        files = {path.name: sha256_file(path / ADAPTER_FILE) for path in chosen}
        return sha256_json({"config": self._config.model_dump(), "files": files})

    def _common_config(self) -> AdapterConfig:
        configs = {step: read_adapter_config(path) for step, path in self._folder_of.items()}
        first = configs[self.steps[0]]
        for step, config in configs.items():
            if config != first:
                raise WindowError(
                    f"{self.where}: the adapter config of step {step} differs from that of step "
                    f"{self.steps[0]}; give the steps of one run"
                )
        return first

    def _pair(self, found: dict[str, TensorInfo]) -> dict[str, Adapted]:
        """Adapted weights by their names in the base."""
        keys: dict[str, dict[str, str]] = {}
        embeddings = set()
        for key, match in _factors(found):
            module = match["module"].removeprefix(PREFIX)
            keys.setdefault(module, {})[match["factor"]] = key
            if match["kind"]:
                embeddings.add(module)
        for module, pair in keys.items():
            if len(pair) != 2:
                raise WindowError(f"{self.where}: {module} has only one of A and B")
        if not keys:
            raise WindowError(f"{self.where}: the adapters hold no lora_A and lora_B")
        return {
            self._in_base(f"{module}.weight"): Adapted(
                module, pair["A"], pair["B"], module in embeddings or self._config.fan_in_fan_out
            )
            for module, pair in sorted(keys.items())
        }

    def _find_saved(self, found: dict[str, TensorInfo]) -> dict[str, str]:
        """Whole weights beside the products (`modules_to_save`): name in the base to key."""
        factors = {key for key, _ in _factors(found)}
        return {self._in_base(key.removeprefix(PREFIX)): key for key in found if key not in factors}

    def _in_base(self, name: str) -> str:
        if name not in self._base.tensors:
            raise WindowError(
                f"{self.where}: adapts {name}, which {self._base.folder} does not have; give the "
                "base that was trained"
            )
        return name

    def _info(self, name: str, base: TensorInfo) -> TensorInfo:
        if name in self.saved:
            return self._file_of[self.steps[0]].tensors[self.saved[name]]
        return TensorInfo(base.shape, torch.float32) if name in self.adapted else base

    def _check_shape(self, name: str, adapted: Adapted, found: dict[str, TensorInfo]) -> None:
        a_shape, b_shape = found[adapted.key_a].shape, found[adapted.key_b].shape
        shape = (b_shape[0], *a_shape[1:])
        if adapted.is_transposed:
            shape = shape[::-1]
        rank = self._config.rank(adapted.module)
        if a_shape[0] != rank:
            raise WindowError(
                f"{self.where}: A of {name} has {a_shape[0]} rows, {CONFIG_FILE} says rank {rank}"
            )
        if b_shape[1:] != a_shape[:1] or shape != self._base.tensors[name].shape:
            raise WindowError(
                f"{self.where}: B {list(b_shape)} times A {list(a_shape)} of {name} does not fit "
                f"its shape in the base, {list(self._base.tensors[name].shape)}"
            )

    def _check_known(self, step: int, name: str) -> None:
        if step not in self._folder_of:
            raise WindowError(f"{self.where}: has no step {step}")
        if name not in self.tensors:
            raise WindowError(f"{self.where}: has no tensor {name}")


def _factors(found: Collection[str]) -> Iterator[tuple[str, re.Match[str]]]:
    for key in found:
        match = FACTOR.fullmatch(key)
        if match is not None:
            yield key, match


def _trained(file: TensorFile) -> dict[str, TensorInfo]:
    """Without the copies of base weights that PEFT saves beside adapters of embeddings."""
    return {key: info for key, info in file.tensors.items() if ".base_layer." not in key}


def _open(folder: Path) -> TensorFile:
    if not (folder / ADAPTER_FILE).is_file():
        raise WindowError(
            f"{folder}: has no {ADAPTER_FILE}; relex reads safetensors only, so save it with "
            "save_pretrained(..., safe_serialization=True)"
        )
    return TensorFile(FolderStore(folder), ADAPTER_FILE)

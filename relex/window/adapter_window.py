"""LoRA adapters as a window.

The displacement of a module at a step is `scale * B A`, which nobody rounds: merging it into the
base first would lose the digits that the base's size hides.
M rows and N columns of a weight, K columns of a product.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch

from relex.checkpoints import Checkpoint, TensorFile, TensorInfo, all_finite
from relex.digests import sha256_json
from relex.errors import WindowError
from relex.window.adapted import Adapters, trained
from relex.window.adapter_config import AdapterConfig, parse_adapter_config
from relex.window.low_rank import LowRank
from relex.window.same_tensors import same_tensors


@dataclass(frozen=True)
class AdapterFile:
    """An opened adapter of one step."""

    tensors: TensorFile
    config: str
    """Of PEFT, as JSON."""
    where: str
    """Of the config, for messages."""
    digest: Callable[[], str]
    """sha256 of the tensors' file."""


class AdapterWindow:
    """A Window of the merged weights in float32, and the products themselves."""

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        where: str,
        files: Mapping[int, AdapterFile],
        base: Checkpoint,
        base_digest: str | None = None,
    ) -> None:
        """`files` by steps, which ascend.

        Raises WindowError when there are none, the steps differ, an adapter is more than plain
        products, or does not fit the base.
        """
        self.where, self._base, self._files = where, base, files
        self.base_digest = base_digest
        self.steps = tuple(files)
        found = same_tensors(
            self.where, {step: trained(file.tensors.tensors) for step, file in files.items()}
        )
        self._config = self._common_config()
        adapters = Adapters(where, found, self._config, base)
        self.adapted, self.saved = adapters.adapted, adapters.saved
        self.tensors = {name: self._info(name, info) for name, info in base.tensors.items()}

    @property
    def newest_config(self) -> str:
        """Of PEFT, as JSON."""
        return self._files[self.steps[-1]].config

    def product(self, step: int, name: str) -> LowRank:
        """The displacement of an adapted weight; raises WindowError when it is not finite."""
        self._check_known(step, name)
        adapted, file = self.adapted[name], self._files[step].tensors
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
            return self._files[step].tensors.read(self.saved[name], start, stop)
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
        files = {str(step): self._files[step].digest() for step in steps or self.steps}
        return sha256_json({"config": self._config.model_dump(), "files": files})

    def _common_config(self) -> AdapterConfig:
        configs = {
            step: parse_adapter_config(file.config, file.where)
            for step, file in self._files.items()
        }
        first = configs[self.steps[0]]
        for step, config in configs.items():
            if config != first:
                raise WindowError(
                    f"{self.where}: the adapter config of step {step} differs from that of step "
                    f"{self.steps[0]}; give the steps of one run"
                )
        return first

    def _info(self, name: str, base: TensorInfo) -> TensorInfo:
        if name in self.saved:
            return self._files[self.steps[0]].tensors.tensors[self.saved[name]]
        return TensorInfo(base.shape, torch.float32) if name in self.adapted else base

    def _check_known(self, step: int, name: str) -> None:
        if step not in self._files:
            raise WindowError(f"{self.where}: has no step {step}")
        if name not in self.tensors:
            raise WindowError(f"{self.where}: has no tensor {name}")

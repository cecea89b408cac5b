"""TRL's rollouts by vLLM, with what TRL leaves open.

TRL has no arguments for the number of sequences and the seed of vLLM. It writes new weights into
the model's parameters, which vLLM's CPU build has packed away; `reload_weights`, vLLM's own way,
works on GPU and CPU alike, also after its memory was given back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from accelerate.utils import is_peft_model
from trl.generation import vllm_generation
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer import grpo_trainer

from relex.config.recipe import Recipe
from relex.errors import TrainingError
from relex.training.lora import merged_parameters
from relex.vllm_reload import reload

CPU_CACHE_BYTES = 1 << 30
RECORDED = (
    "dtype",
    "seed",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "gpu_memory_utilization",
    "enable_sleep_mode",
    "tensor_parallel_size",
)
GPU_DTYPE, CPU_DTYPE = "bfloat16", "float32"
"""What the trainer computes in."""


@contextmanager
def as_recipe_says(recipe: Recipe) -> Iterator[None]:
    """Trainers of TRL that are made in the block have the rollouts of the recipe."""
    with patch.object(grpo_trainer, "VLLMGeneration", partial(Rollouts, recipe)):
        yield


class Rollouts(VLLMGeneration):  # type: ignore[misc]
    """vLLM in the process of a trainer, or on a server."""

    def __init__(self, recipe: Recipe, *arguments: Any, **options: Any) -> None:
        self._recipe = recipe
        limit = recipe.training.rollouts.max_num_seqs
        super().__init__(*arguments, **{**options, "max_num_seqs": limit})

    def _init_vllm(self) -> None:
        if self.mode == "server":
            super()._init_vllm()
            return
        with patch.object(vllm_generation, "LLM", self._start):
            super()._init_vllm()

    def _start(self, **arguments: Any) -> Any:
        import vllm

        arguments |= self._own_arguments(arguments["seed"])
        self.name = f"vllm {vllm.__version__}"
        self.chosen = {name: arguments[name] for name in RECORDED}
        return vllm.LLM(**arguments)

    def _own_arguments(self, group: int) -> dict[str, Any]:
        """`group`: number of the processes that share an engine, which TRL takes for its seed."""
        common = {"seed": self._recipe.seed + group, "use_tqdm_on_load": False}
        if self.accelerator.device.type != "cpu":
            return {**common, "dtype": GPU_DTYPE}
        return {
            **common,
            "dtype": CPU_DTYPE,
            "enforce_eager": True,
            "kv_cache_memory_bytes": CPU_CACHE_BYTES,
        }

    def sync_weights(self) -> None:
        """Give the engine the weights of the trainer; raises TrainingError naming one that it did
        not take."""
        if self.mode == "server":
            super().sync_weights()
            return
        if self.enable_sleep_mode:
            vllm_generation.empty_cache()
            self.llm.wake_up(tags=["weights"])
            self._llm_weights_sleeping = False
        worker = self.llm.llm_engine.model_executor.driver_worker
        with torch.no_grad():
            left = reload(worker, self._iter_named_params())
        if left:
            raise TrainingError(
                f"training.rollouts: vLLM kept the old values of {len(left)} weights: {left[0]}; "
                "use rollouts.engine transformers"
            )
        self.llm.reset_prefix_cache()

    def _iter_named_params(self) -> Iterator[tuple[str, torch.Tensor]]:
        # TRL merges adapters into the base and takes them out again, which rounds the base anew
        # at every step.
        if is_peft_model(self.model):
            return merged_parameters(self.model)
        found: Iterator[tuple[str, torch.Tensor]] = super()._iter_named_params()
        return found

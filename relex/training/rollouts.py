"""What generates the completions of a training, and where it disagrees with the trainer."""

from importlib.util import find_spec
from typing import Any, Literal

import torch

from relex.config.recipe import Recipe
from relex.config.rollouts import RolloutsConfig
from relex.device import resolve_device


def rollout_engine(recipe: Recipe) -> Literal["transformers", "vllm", "vllm_server"]:
    """The recipe's engine, where `auto` takes vLLM on a GPU where it is installed.

    Raises ResourceError as `resolve_device`.
    """
    config = recipe.training
    if config.rollouts.engine != "auto":
        return config.rollouts.engine
    in_4_bit = config.lora is not None and config.lora.quantize
    has_vllm = find_spec("vllm") is not None and resolve_device(recipe.device) == "cuda"
    return "vllm" if has_vllm and not in_4_bit else "transformers"


def trl_arguments(recipe: Recipe) -> dict[str, Any]:
    """Those of TRL that say what generates, and what is done where its probabilities are not the
    trainer's."""
    engine, rollouts = rollout_engine(recipe), recipe.training.rollouts
    if engine == "transformers":
        return {"use_vllm": False}
    return {
        "use_vllm": True,
        "vllm_mode": "server" if engine == "vllm_server" else "colocate",
        "vllm_server_base_url": rollouts.server_url or None,
        "vllm_gpu_memory_utilization": rollouts.memory_fraction,
        "vllm_enable_sleep_mode": rollouts.sleep,
        "vllm_tensor_parallel_size": rollouts.tensor_parallel_size,
        "vllm_importance_sampling_correction": rollouts.importance_sampling_mode != "off",
        "vllm_importance_sampling_mode": rollouts.importance_sampling_mode,
        "vllm_importance_sampling_clip_max": rollouts.importance_sampling_clip_max,
        "vllm_importance_sampling_clip_min": rollouts.importance_sampling_clip_min or None,
    }


def recorded_arguments(recipe: Recipe) -> dict[str, Any]:
    """Those of TRL that change results, by the names that they have without `vllm_`."""
    prefix = "vllm_"
    return {
        name.removeprefix(prefix): value
        for name, value in trl_arguments(recipe).items()
        if "importance" in name and value is not None
    }


def is_beyond(ratio: torch.Tensor, config: RolloutsConfig) -> torch.Tensor:
    """Which importance ratios the clips have changed, once TRL has applied them."""
    if config.importance_sampling_mode.endswith("mask"):
        return ratio == 0
    least = config.importance_sampling_clip_min
    beyond = ratio >= config.importance_sampling_clip_max
    return beyond | (ratio <= least) if least else beyond

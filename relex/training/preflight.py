"""What can be known before training starts: whether there are the devices and the packages."""

import os
from importlib.util import find_spec

import torch

from relex.config.recipe import Recipe
from relex.device import resolve_device
from relex.errors import ResourceError
from relex.training.rollouts import rollout_engine

OTHER_SHARDING = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed ZeRO-3 hands out its weights in 16 bits, in which most "
    "of a step is lost, so relex shards by FSDP2 (training.shard)",
    "ACCELERATE_USE_FSDP": "the recipe says whether to shard (training.shard)",
    "ACCELERATE_USE_MEGATRON_LM": "relex shards by FSDP2 (training.shard)",
}
"""What would change the model behind the recipe's back."""


def check_one_machine(recipe: Recipe) -> None:
    """Raise ResourceError when the recipe trains on several."""
    if recipe.training.num_nodes > 1:
        raise ResourceError(
            f"training.num_nodes: {recipe.training.num_nodes}, but this is one machine; set "
            "RELEX_CLUSTER to a Ray cluster, or lower it"
        )


def check_training(recipe: Recipe) -> None:
    """Raise ResourceError when this machine cannot train the recipe."""
    config = recipe.training
    on_gpu = resolve_device(recipe.device) == "cuda"
    _check_environment()
    engine = rollout_engine(recipe)
    if engine == "vllm_server" and not on_gpu:
        raise ResourceError(
            "training.rollouts.engine: vllm_server gets the weights from GPU to GPU, but training "
            "would run on the CPU; use transformers, or a machine with a GPU"
        )
    if engine != "transformers" and find_spec("vllm") is None:
        raise ResourceError("training.rollouts.engine: vllm is not installed; install relex[gpu]")
    if config.lora is not None and config.lora.quantize and find_spec("bitsandbytes") is None:
        raise ResourceError(
            "training.lora.quantize: bitsandbytes is not installed; install it, or leave quantize "
            "out"
        )
    if on_gpu and config.num_gpus > torch.cuda.device_count():
        raise ResourceError(
            f"training.num_gpus: {config.num_gpus}, but this run sees {torch.cuda.device_count()} "
            "GPU(s); lower it or use another machine, or, for runs from the form, set "
            f"RELEX_GPUS_PER_RUN={config.num_gpus} before make up, which gives each run so many "
            "(1 unless it is set)"
        )


def _check_environment() -> None:
    """Raise ResourceError when accelerate's variables choose how to distribute a model."""
    for variable, advice in OTHER_SHARDING.items():
        if os.environ.get(variable, "false").lower() in ("true", "1"):
            raise ResourceError(f"{variable} is set: {advice}; unset it")

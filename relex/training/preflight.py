"""What can be known before training starts: is there a device, and how much will be written."""

import os
from importlib.util import find_spec

import torch

from relex.checkpoints import Checkpoint
from relex.config.recipe import Recipe
from relex.device import resolve_device
from relex.errors import ResourceError
from relex.training.rollouts import rollout_engine
from relex.training.snapshots import MAX_PENDING, snapshot_schema

OTHER_SHARDING = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed ZeRO-3 hands out its weights in 16 bits, in which most "
    "of a step is lost, so relex shards by FSDP2 (training.shard)",
    "ACCELERATE_USE_FSDP": "the recipe says whether to shard (training.shard)",
    "ACCELERATE_USE_MEGATRON_LM": "relex shards by FSDP2 (training.shard)",
}
"""What would change the model behind the recipe's back."""

# Weights, and two moments of AdamW, all in the master dtype.
STATES_PER_WEIGHT = 3
# The rolling checkpoint is written whole before the one before it is removed.
NUM_ROLLING_CHECKPOINTS = 2
# Of the bytes of a snapshot, anchors included. bfloat16 takes 0.01 where 1 % of the elements
# change per step, but the toy's first steps take 0.3.
LARGEST_STORED_FRACTION = {"float32": 1.0, "bfloat16": 0.4, "rounded": 0.1}


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
            f"training.num_gpus: {config.num_gpus}, but this machine has "
            f"{torch.cuda.device_count()}; lower it or use another machine"
        )


def _check_environment() -> None:
    """Raise ResourceError when accelerate's variables choose how to distribute a model."""
    for variable, advice in OTHER_SHARDING.items():
        if os.environ.get(variable, "false").lower() in ("true", "1"):
            raise ResourceError(f"{variable} is set: {advice}; unset it")


def estimate_window_bytes(recipe: Recipe, base: Checkpoint) -> int:
    """Size of the finished window in bytes, rather too large than too small."""
    config = recipe.training
    fraction = LARGEST_STORED_FRACTION[config.snapshot_dtype]
    return int(len(config.kept_steps) * fraction * _snapshot_bytes(recipe, base))


def estimate_work_bytes(recipe: Recipe, base: Checkpoint) -> int:
    """Local disk that training needs at most, in bytes: spool and rolling checkpoints."""
    config = recipe.training
    num_weights = sum(info.num_elements for info in base.tensors.values())
    weight_bytes = getattr(torch, config.master_dtype).itemsize
    rolling_bytes = NUM_ROLLING_CHECKPOINTS * STATES_PER_WEIGHT * num_weights * weight_bytes
    # One more snapshot is kept to compare the next with, and one delta is being made, twice.
    stored_fraction = LARGEST_STORED_FRACTION[config.snapshot_dtype]
    num_spooled = MAX_PENDING + 1 + 2 * stored_fraction
    return int(num_spooled * _snapshot_bytes(recipe, base) + rolling_bytes)


def _snapshot_bytes(recipe: Recipe, base: Checkpoint) -> int:
    schema = snapshot_schema(base, recipe.training.snapshot_dtype)
    return sum(info.num_bytes for info in schema.values())

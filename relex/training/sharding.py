"""FSDP2: weights, gradients and moments are split over the processes.

Accelerate reduces gradients in bfloat16 by default, and ignores FSDP on the CPU; both are set right
here, so that what runs over gloo in tests is what runs on GPUs.
"""

import os
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator, DistributedType, PartialState
from accelerate.utils import FullyShardedDataParallelPlugin
from torch.distributed.fsdp import MixedPrecisionPolicy

from relex.config.training import TrainingConfig


def fsdp_config(config: TrainingConfig) -> dict[str, Any]:
    """What transformers takes."""
    return {
        "version": 2,
        # Only the first process reads the weights; TRL would leave the reference model of the KL
        # term without any in the others.
        "cpu_ram_efficient_loading": config.kl_beta == 0,
        # Every process writes its own part of a rolling checkpoint.
        "state_dict_type": "SHARDED_STATE_DICT",
    }


def announce() -> None:
    """Before the model is loaded: transformers then may leave all processes but the first without
    weights, which they get when the model is sharded."""
    os.environ["ACCELERATE_USE_FSDP"] = "true"


def set_up(accelerator: Accelerator, plugin_arguments: Mapping[str, Any]) -> None:
    """Choose FSDP2 also on the CPU, with gradients reduced in float32."""
    state = accelerator.state
    if state.distributed_type is not DistributedType.FSDP:
        state.fsdp_plugin = FullyShardedDataParallelPlugin(**plugin_arguments)
        state.distributed_type = PartialState().distributed_type = DistributedType.FSDP
    computed_in = torch.bfloat16 if accelerator.mixed_precision == "bf16" else None
    state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy(
        param_dtype=computed_in, reduce_dtype=torch.float32, output_dtype=computed_in
    )

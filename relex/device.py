"""Where tensors are computed."""

import os
import sys
from typing import Literal

import torch

from relex.errors import ResourceError

Device = Literal["cpu", "cuda"]

# As `torch.cpu.get_capabilities` calls them. Without one of these a matrix product in that dtype
# takes 2 to 9 times as long as in float32.
INSTRUCTIONS = {
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"),
    "float16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
}


def resolve_device(device: Literal["auto", "cpu", "cuda"]) -> Device:
    """`auto` takes the GPU where there is one. Raises ResourceError for `cuda` without a GPU."""
    if device == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ResourceError("device cuda: this machine has no usable GPU; choose auto or cpu")
    return "cpu"


def resolve_devices(device: Literal["auto", "cpu", "cuda"]) -> list[torch.device]:
    """The CPU, or every GPU of the machine; raises as `resolve_device`."""
    if resolve_device(device) == "cpu":
        return [torch.device("cpu")]
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def multiplies_in(dtype: str, device: Device) -> bool:
    """Whether the machine has instructions for matrix products in `dtype`; every GPU counts as one
    that has."""
    if device == "cuda" or dtype not in INSTRUCTIONS:
        return True
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in INSTRUCTIONS[dtype])


def num_cores() -> int:
    """Of the machine, or those of it that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def one_torch_thread() -> None:
    """For each thread of a pool that has one for every core."""
    torch.set_num_threads(1)

"""Where tensors are computed."""

from typing import Literal

import torch

from relex.errors import ResourceError

Device = Literal["cpu", "cuda"]


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

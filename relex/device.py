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

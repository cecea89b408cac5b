"""The snapshots of a window hold the same tensors, and those are weights that can be subtracted."""

from collections.abc import Mapping

import torch

from relex.checkpoints import TensorInfo, check_same_tensors
from relex.errors import WindowError

WEIGHT_DTYPES = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
BUFFER_DTYPES = {torch.int64, torch.bool}


def same_tensors(
    where: str, tensors_of: Mapping[int, Mapping[str, TensorInfo]]
) -> dict[str, TensorInfo]:
    """The tensors that all steps have; `tensors_of` gives those of each step, steps ascending.

    Raises WindowError, naming step and tensor, when there is no step, the steps differ, or weights
    are quantised.
    """
    if not tensors_of:
        raise WindowError(f"{where}: holds no snapshot yet")
    first_step, first = next(iter(tensors_of.items()))
    check_weights(f"{where}: step {first_step}", first)
    for step, found in tensors_of.items():
        other = f"step {first_step}"
        check_same_tensors(
            f"{where}: step {step}", found, first, other, dtypes_too=True, error=WindowError
        )
    return dict(first)


def check_weights(where: str, tensors: Mapping[str, TensorInfo]) -> None:
    """Raise WindowError, naming the tensor, when weights are quantised."""
    for name, info in tensors.items():
        if info.dtype not in WEIGHT_DTYPES | BUFFER_DTYPES:
            raise WindowError(
                f"{where}: {name} is {info}, so the weights are quantised; "
                "give them in float32, bfloat16 or float16"
            )

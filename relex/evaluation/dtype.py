"""The dtype in which an engine computes."""

from typing import Literal, cast, get_args

from relex.checkpoints import Checkpoint
from relex.device import Device, multiplies_in
from relex.errors import InputError

Dtype = Literal["float32", "bfloat16", "float16"]


def choose_dtype(base: Checkpoint, device: Device) -> Dtype:
    """The base's own dtype; float32 on a processor that has no instructions for it.

    A candidate's weights are exact in either. Raises InputError as `own_dtype`.
    """
    own = own_dtype(base)
    return own if multiplies_in(own, device) else "float32"


def own_dtype(base: Checkpoint) -> Dtype:
    """The dtype of most elements of the base. Raises InputError when no engine computes in it."""
    name = str(base.dtype).removeprefix("torch.")
    return parse_dtype(name, f"{base.folder}: dtype of its weights")


def parse_dtype(name: str, where: str) -> Dtype:
    """The dtype of that name. Raises InputError, which begins with `where`, for any other."""
    if name not in get_args(Dtype):
        raise InputError(f"{where}: {name!r} is none of {', '.join(get_args(Dtype))}")
    return cast(Dtype, name)

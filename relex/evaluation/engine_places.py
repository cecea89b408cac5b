"""Which engines a machine runs side by side: one for each GPU, or for each group of them."""

import os

import torch

from relex.config.recipe import EvaluationConfig
from relex.device import Device
from relex.errors import InputError, ResourceError

NUMBER = "RELEX_ENGINES"
UNBOUND = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""vLLM binds an engine to all cores of a processor, and several to the same or, of a processor
without as many memory nodes, refuses."""


def engine_places(device: Device, evaluation: EvaluationConfig) -> list[dict[str, str]]:
    """What the environment of each engine's process says beside our own.

    On GPUs one engine for each `tensor_parallel_size` of those that this process sees, at most
    RELEX_ENGINES of them; on the CPU as many as RELEX_ENGINES says, or one.

    Raises ResourceError when there are fewer GPUs than one engine takes, InputError when
    RELEX_ENGINES is no number above zero.
    """
    stated = os.environ.get(NUMBER)
    if stated is not None and (not stated.isdecimal() or int(stated) == 0):
        raise InputError(f"{NUMBER}: {stated!r} is no number of engines; give 1 or more")
    size = evaluation.tensor_parallel_size
    if device == "cpu":
        num_engines = int(stated or 1)
        return [UNBOUND if num_engines * size > 1 else {}] * num_engines
    gpus = visible_gpus()
    if len(gpus) < size:
        raise ResourceError(
            f"evaluation.tensor_parallel_size: {size}, but this process sees {len(gpus)} GPU(s); "
            "lower it, or use another machine"
        )
    groups = [gpus[first : first + size] for first in range(0, len(gpus) - size + 1, size)]
    most = len(groups) if stated is None else int(stated)
    return [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups[:most]]


def visible_gpus() -> list[str]:
    """Names by which CUDA_VISIBLE_DEVICES selects the GPUs that this process sees."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    num_gpus = torch.cuda.device_count()
    return names[:num_gpus] if names != [""] else [str(index) for index in range(num_gpus)]

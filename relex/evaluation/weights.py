"""A candidate's weights, checked against the base while they stream into an engine."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import torch

from relex.candidates import Candidate
from relex.checkpoints import NamedTensor, TensorInfo, all_finite
from relex.device import Device
from relex.errors import EngineError
from relex.evaluation.weight_source import CandidateWeights, WeightSource


def candidate_weights(
    source: WeightSource, candidate: Candidate, device: Device = "cpu"
) -> Iterator[NamedTensor]:
    """The candidate's tensors, one at a time, computed and given on the device.

    Raises EngineError like `exactly`.
    """
    weights = _open(source)
    return exactly(weights.base.tensors, weights.tensors(candidate, device), candidate.key)


def widened(tensors: Iterable[NamedTensor], dtype: torch.dtype) -> Iterator[NamedTensor]:
    """The tensors in `dtype` where that holds every one of their values; others as they are."""
    for name, tensor in tensors:
        is_wider = torch.promote_types(tensor.dtype, dtype) == dtype
        yield name, tensor.to(dtype) if is_wider and tensor.is_floating_point() else tensor


def exactly(
    expected: Mapping[str, TensorInfo], tensors: Iterable[NamedTensor], where: str
) -> Iterator[NamedTensor]:
    """Pass `tensors` on, and raise EngineError unless they are those of `expected`.

    Every name must come once, with its shape and dtype, and hold finite values only.
    """
    missing = dict(expected)
    for name, tensor in tensors:
        if name not in expected:
            raise EngineError(f"{where}: weight {name} is not in the base; nothing may be added")
        if missing.pop(name, None) is None:
            raise EngineError(f"{where}: weight {name} came twice")
        _check(where, name, tensor, expected[name])
        yield name, tensor
    if missing:
        raise EngineError(f"{where}: {len(missing)} weights never came: {next(iter(missing))}, ...")


@cache
def _open(source: WeightSource) -> CandidateWeights:
    """Opened once in a process: listing a long window on S3 takes seconds."""
    return CandidateWeights(source)


def _check(where: str, name: str, tensor: torch.Tensor, info: TensorInfo) -> None:
    if tuple(tensor.shape) != info.shape:
        raise EngineError(
            f"{where}: weight {name} has shape {list(tensor.shape)}, "
            f"in the base it is {list(info.shape)}"
        )
    if tensor.dtype != info.dtype:
        raise EngineError(
            f"{where}: weight {name} is {tensor.dtype}, in the base it is {info.dtype}"
        )
    if not all_finite(tensor):
        raise EngineError(f"{where}: weight {name} has values that are not finite")

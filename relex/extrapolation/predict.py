"""The weights at a target: the base plus the predicted displacement, rounded once."""

from collections.abc import Iterator

import torch

from relex.checkpoints import Checkpoint, NamedTensor
from relex.device import Device
from relex.errors import FactorsError
from relex.extrapolation.displacements import spans
from relex.extrapolation.factors import Factors

PREDICT_ELEMENTS = 1 << 18
"""Pieces that stay in the cache of a CPU core."""


def predict_tensors(
    factors: Factors, base: Checkpoint, step: int, device: Device = "cpu"
) -> Iterator[NamedTensor]:
    """Every tensor of the base at target `step`, in the base's order and dtypes, on `device`.

    Tensors that never moved and those without floating-point numbers are the base's own. One
    tensor is held at a time.

    Raises, before the first tensor, FactorsError when `step` is not beyond the window or the
    factors are of another base.
    """
    if step <= factors.last_step:
        raise FactorsError(
            f"{factors.folder}: step {step} is not beyond the window, which ends at step "
            f"{factors.last_step}; give a later step, or take the snapshot itself"
        )
    check_base(factors, base)
    return ((name, _predict(factors, base, name, step, device)) for name in base.tensors)


def check_base(factors: Factors, base: Checkpoint) -> None:
    """Raise FactorsError unless the factors were fitted on exactly this base."""
    if base.digest() != factors.table.base_digest:
        raise FactorsError(
            f"{factors.folder}: was fitted on another base than {base.folder} (digests "
            f"{factors.table.base_digest[:12]} and {base.digest()[:12]}); give that base"
        )


def _predict(
    factors: Factors, base: Checkpoint, name: str, step: int, device: Device
) -> torch.Tensor:
    """w0 + (slope * step + intercept) v, summed in at least float32 and rounded once."""
    weights = base.read_tensor(name).to(device)
    fit = factors.table.tensors.get(name)
    if fit is None or not fit.directions:
        return weights
    weights_N = weights.view(-1)
    wide = torch.promote_types(weights.dtype, torch.float32)
    for first, last in spans(0, weights_N.numel(), PREDICT_ELEMENTS):
        displacement_N = factors.predict_displacement(name, step, first, last).to(device)
        weights_N[first:last] = weights_N[first:last].to(wide) + displacement_N
    return weights

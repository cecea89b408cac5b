"""What a fit finds out about a tensor from its Gram matrix.

S steps, R directions.
"""

from collections.abc import Sequence

import torch

from relex.extrapolation.basis import Basis, build_basis
from relex.extrapolation.factors import DirectionFit, TensorFit
from relex.extrapolation.line_fit import fit_line
from relex.extrapolation.method import Method
from relex.extrapolation.subspace import Subspace, leading_subspace


def fit_tensor(
    gram_SS: torch.Tensor, steps: Sequence[int], rank: int, methods: Sequence[Method]
) -> tuple[TensorFit, Basis]:
    """The fit of a tensor, and the basis that its directions and `methods` need."""
    subspace = leading_subspace(gram_SS, rank)
    fit = describe_tensor(steps, subspace, gram_SS)
    direction_RS = (subspace.left_SR / subspace.sigma_R).T.numpy()
    basis = build_basis(fit.gram_SS, steps, direction_RS, methods if fit.directions else ())
    kept = {
        "dense": tuple(map(tuple, basis.dense_ES.tolist())),
        "snapshots": tuple(steps[row] for row in basis.snapshots),
    }
    return fit.model_copy(update=kept), basis


def describe_tensor(steps: Sequence[int], subspace: Subspace, gram_SS: torch.Tensor) -> TensorFit:
    """Coefficients and lines of a tensor's directions, and the Gram matrix they come from."""
    fits = [
        DirectionFit(
            sigma=float(sigma),
            coefficients=tuple(coefficient_S.tolist()),
            line=fit_line(steps, coefficient_S),
        )
        for sigma, coefficient_S in zip(subspace.sigma_R, subspace.coefficient_SR.T, strict=True)
    ]
    return TensorFit(
        squared_norm=subspace.squared_norm,
        directions=tuple(fits),
        gram=tuple(tuple(row_S[: row + 1]) for row, row_S in enumerate(gram_SS.tolist())),
    )

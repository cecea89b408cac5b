"""What a fit keeps of a tensor beside its directions.

S steps.
"""

from collections.abc import Sequence

import torch

from relex.extrapolation.factors import DirectionFit, TensorFit
from relex.extrapolation.line_fit import fit_line
from relex.extrapolation.subspace import Subspace


def describe_tensor(
    positions: Sequence[int], subspace: Subspace, gram_SS: torch.Tensor
) -> TensorFit:
    """Coefficients and lines of a tensor's directions, and the Gram matrix they come from."""
    fits = [
        DirectionFit(
            sigma=float(sigma),
            coefficients=tuple(coefficient_S.tolist()),
            line=fit_line(positions, coefficient_S),
        )
        for sigma, coefficient_S in zip(subspace.sigma_R, subspace.coefficient_SR.T, strict=True)
    ]
    return TensorFit(
        squared_norm=subspace.squared_norm,
        directions=tuple(fits),
        gram=tuple(tuple(row_S[: row + 1]) for row, row_S in enumerate(gram_SS.tolist())),
    )

"""Least-squares polynomials over the time axis, as weights of the observed values.

S steps.

The value at any point of a polynomial fitted by least squares is a weighted sum of the observed
values, with weights that depend on the steps alone. The same weights serve a direction's
coefficients and, for the baseline without directions, the displacements themselves.
"""

from collections.abc import Sequence

import numpy as np
from numpy.polynomial.legendre import legvander


def polynomial_weights(
    positions: Sequence[int], degree: int, at: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Weights of the values at `positions` in the fitted polynomial's value at `at`: S, float64.

    `positions` holds more than `degree` different values. Legendre polynomials over the range of
    the positions keep the least squares well conditioned.
    """
    centre, radius = (positions[0] + positions[-1]) / 2, (positions[-1] - positions[0]) / 2
    scaled_S = (np.asarray(positions, dtype=np.float64) - centre) / radius
    orthonormal_SD, triangular_DD = np.linalg.qr(legvander(scaled_S, degree))
    basis_D = legvander(np.array([(at - centre) / radius]), degree)[0]
    weight_S: np.ndarray[tuple[int], np.dtype[np.float64]] = orthonormal_SD @ np.linalg.solve(
        triangular_DD.T, basis_D
    )
    return weight_S

"""The line through a direction's coefficients, over the real optimizer steps.

S steps.
"""

from collections.abc import Sequence

import torch

from relex.strict import Strict


class Line(Strict):
    """c(step) = slope * step + intercept, and how well it fits."""

    slope: float
    """Change of the coefficient per optimizer step."""

    intercept: float
    """Coefficient of the line at step 0."""

    residual_squares: float
    """Sum of the squared distances of the coefficients to the line."""

    total_squares: float
    """Sum of the squared distances of the coefficients to their mean."""

    def at(self, step: int) -> float:
        return self.slope * step + self.intercept


def fit_line(steps: Sequence[int], coefficient_S: torch.Tensor) -> Line:
    """Ordinary least squares in float64; `steps` holds at least two different steps."""
    step_S = torch.tensor(steps, dtype=torch.float64)
    coefficient_S = coefficient_S.double()
    centred_step_S = step_S - step_S.mean()
    centred_S = coefficient_S - coefficient_S.mean()
    slope = centred_step_S @ centred_S / (centred_step_S @ centred_step_S)
    residual_S = centred_S - slope * centred_step_S
    return Line(
        slope=float(slope),
        intercept=float(coefficient_S.mean() - slope * step_S.mean()),
        residual_squares=float(residual_S @ residual_S),
        total_squares=float(centred_S @ centred_S),
    )

"""How much of the displacement the directions explain, and how straight the coefficients are."""

from collections.abc import Collection

from relex.config.strict import Strict
from relex.extrapolation.factors import TensorFit


class Quality(Strict):
    """Fit inside the window, of one tensor or of many. It does not measure forecasts."""

    explained_fraction: float | None
    """Share of the squared displacement along the directions; None where nothing moved."""

    r2: float | None
    """1 - residual / total squares of the coefficients; None where they do not vary."""


def quality(fits: Collection[TensorFit]) -> Quality:
    """The quality of the tensors together: sums of squares are added before they are divided."""
    lines = [direction.line for fit in fits for direction in fit.directions]
    residual_squares = sum(line.residual_squares for line in lines)
    total_squares = sum(line.total_squares for line in lines)
    explained = sum(direction.sigma**2 for fit in fits for direction in fit.directions)
    squared_norm = sum(fit.squared_norm for fit in fits)
    return Quality(
        explained_fraction=min(explained / squared_norm, 1.0) if squared_norm else None,
        r2=1.0 - residual_squares / total_squares if total_squares else None,
    )

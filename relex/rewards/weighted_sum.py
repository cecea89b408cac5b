"""Several rewards in one number per completion."""

from collections.abc import Sequence


def weighted_sum(
    values_by_reward: Sequence[Sequence[float]], weights: Sequence[float]
) -> list[float]:
    """For every completion the sum over the rewards of weight times value."""
    return [
        sum(weight * value for weight, value in zip(weights, values, strict=True))
        for values in zip(*values_by_reward, strict=True)
    ]

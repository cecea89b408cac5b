"""Several comparisons at once (Holm 1979).

With m comparisons chance has m tries. The smallest p-value is multiplied by m, the next one by
m - 1, and so on, and none becomes smaller than the one before it. Whatever the truth and however
the comparisons depend on each other, the chance that any corrected p-value of a true hypothesis is
at most alpha is at most alpha.
"""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p-values, at most 1, in the order of `p_values`."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for num_before, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - num_before) * p_values[index]))
        corrected[index] = largest
    return corrected

"""A matrix kept as a product of two thin ones.

M rows and N columns of the matrix, K columns of the left factor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LowRank:
    """left @ right, which is never made as a whole; float32 on the CPU."""

    left_MK: torch.Tensor
    right_KN: torch.Tensor

    @property
    def num_elements(self) -> int:
        return self.left_MK.shape[0] * self.right_KN.shape[1]

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Elements [start, stop) of the flattened matrix; makes only the rows that hold them."""
        num_columns = self.right_KN.shape[1]
        first, last = start // num_columns, -(-stop // num_columns)
        rows = self.left_MK[first:last] @ self.right_KN
        return rows.reshape(-1)[start - first * num_columns : stop - first * num_columns]


def joined(terms: Sequence[LowRank], factors: Sequence[float]) -> LowRank:
    """The sum of the terms, each times its factor; as wide as all of them together."""
    scaled = [factor * term.left_MK for term, factor in zip(terms, factors, strict=True)]
    return LowRank(torch.cat(scaled, dim=1), torch.cat([term.right_KN for term in terms]))

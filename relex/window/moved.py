"""The elements of a span that moved, from what changed step by step.

S steps, N elements of a span, M of them that changed at any step.
"""

from collections.abc import Mapping, Sequence

import torch

from relex.window.codec import Changes


def moved_elements(
    base_N: torch.Tensor, changes_of: Mapping[int, Changes], steps: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of all elements that changed, ascending, int64; and their values at `steps`, S x M.

    `changes_of` holds what each step changed, in ascending order, the first against `base_N`.
    """
    moved_N = torch.zeros(len(base_N), dtype=torch.bool)
    for change in changes_of.values():
        moved_N[change.position_C] = True
    position_M = moved_N.nonzero()[:, 0]
    rank_N = moved_N.cumsum(0) - 1
    value_M = base_N[position_M]
    value_SM = torch.empty(len(steps), len(position_M), dtype=base_N.dtype)
    row_of = {step: row for row, step in enumerate(steps)}
    for step, change in changes_of.items():
        value_M[rank_N[change.position_C]] = change.value_C
        if step in row_of:
            value_SM[row_of[step]] = value_M
    return position_M, value_SM

"""The elements of a span that moved, from what changed step by step.

S steps, N elements of a span, M of them that changed at any step, C that changed at one step.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from relex.window.codec import Changes
from relex.window.codec.patterns import elements, patterns


def moved_elements(
    base_N: torch.Tensor, changes_of: Mapping[int, Changes], steps: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of all elements that changed, ascending, int64; and their values at `steps`, S x M.

    `changes_of` holds what each step changed, in ascending order, the first against `base_N`.
    """
    is_moved_N = np.zeros(len(base_N), dtype=bool)
    for change in changes_of.values():
        is_moved_N[change.position_C.numpy()] = True
    position_M = np.flatnonzero(is_moved_N)
    # Only the entries of elements that moved are set, and only those are looked up.
    place_N = np.empty(len(base_N), dtype=np.int32)
    place_N[position_M] = np.arange(len(position_M), dtype=np.int32)
    pattern_M = patterns(base_N)[position_M]
    pattern_SM = np.empty((len(steps), len(position_M)), dtype=pattern_M.dtype)
    row_of = {step: row for row, step in enumerate(steps)}
    for step, change in changes_of.items():
        pattern_M[place_N[change.position_C.numpy()]] = patterns(change.value_C)
        if step in row_of:
            pattern_SM[row_of[step]] = pattern_M
    return torch.from_numpy(position_M), elements(pattern_SM, base_N.dtype)

"""The elements of a span that moved, from what changed step by step.

S steps, N elements of a span, M of them that changed at any step, C that changed at one step.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from relex.window.codec import Changes
from relex.window.codec.patterns import patterns


class Moved:
    """Which elements of a span moved, and their values at some steps."""

    def __init__(
        self, num_elements: int, changes_of: Mapping[int, Changes], steps: Sequence[int]
    ) -> None:
        """`changes_of` holds what each step changed in the N elements, in ascending order."""
        self._changes_of, self._num_elements = changes_of, num_elements
        self._row_of = {step: row for row, step in enumerate(steps)}
        is_moved_N = np.zeros(num_elements, dtype=bool)
        for change in changes_of.values():
            is_moved_N[change.position_C.numpy()] = True
        self._position_M = np.flatnonzero(is_moved_N)

    @property
    def position_M(self) -> torch.Tensor:
        """Positions of all elements that changed at any step, ascending, int64."""
        return torch.from_numpy(self._position_M)

    def fill(self, start_M: torch.Tensor, value_SM: torch.Tensor) -> None:
        """Set `value_SM` to the elements at the steps; `start_M` are those before the first."""
        # Only the entries of elements that moved are set, and only those are looked up.
        place_N = np.empty(self._num_elements, dtype=np.int32)
        place_N[self._position_M] = np.arange(len(self._position_M), dtype=np.int32)
        pattern_M = patterns(start_M.to(value_SM.dtype, copy=True))
        pattern_SM = patterns(value_SM)
        for step, change in self._changes_of.items():
            pattern_M[place_N[change.position_C.numpy()]] = patterns(change.value_C)
            if step in self._row_of:
                pattern_SM[self._row_of[step]] = pattern_M

"""The elements of a span that moved, from what every step adds to them; on any device.

S steps, N elements of a span, M of them that moved at any step, C of one step's change.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from relex.window.codec import Change
from relex.window.codec.patterns import nonzero, patterns


class Moved:
    """Which elements of a span moved, and their values at some steps."""

    def __init__(
        self,
        start_N: torch.Tensor,
        change_of: Mapping[int, Change],
        steps: Sequence[int],
        check: Callable[[torch.Tensor], None],
    ) -> None:
        """`change_of` holds what each step adds to the elements `start_N`, in ascending order;
        `check` takes what they are after the last."""
        self._start_N, self._check = start_N, check
        self._moves = [change.move_C for change in change_of.values()]
        self._position_C = torch.cat([change.positions for change in change_of.values()])
        row_of = {step: row for row, step in enumerate(steps)}
        self._rows = [row_of.get(step) for step in change_of]
        # What does not move may be among the positions. Fewer than 2^16 steps move an element.
        does_move_C = torch.cat(self._moves).bool().to(torch.int16)
        num_moves_N = torch.zeros(len(start_N), dtype=torch.int16, device=start_N.device)
        num_moves_N.scatter_add_(0, self._position_C, does_move_C)
        self.position_M = nonzero(num_moves_N)
        """Positions of all elements that changed at any step, ascending, int64."""

    def fill(self, value_SM: torch.Tensor) -> None:
        """Set `value_SM` to the elements that moved at the steps; raises what `check` does."""
        num_moved, device = len(self.position_M), self._start_N.device
        # Only the entries of elements that moved are set; others are looked up where nothing moves.
        place_N = torch.zeros(len(self._start_N), dtype=torch.int32, device=device)
        place_N[self.position_M] = torch.arange(num_moved, dtype=torch.int32, device=device)
        place_C = place_N.index_select(0, self._position_C).to(torch.int64)
        pattern_M, pattern_SM = (
            patterns(self._start_N).index_select(0, self.position_M),
            patterns(value_SM),
        )
        places = torch.split(place_C, list(map(len, self._moves)))
        for row, at_C, move_C in zip(self._rows, places, self._moves, strict=True):
            pattern_M.scatter_add_(0, at_C, move_C)
            if row is not None:
                pattern_SM[row] = pattern_M
        end_N = patterns(self._start_N).scatter(0, self.position_M, pattern_M)
        self._check(end_N.view(self._start_N.dtype))

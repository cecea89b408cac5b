"""Fits tensors piece by piece, and writes bases as they are found.

S steps, N elements of one piece of a tensor, M of them that may have moved, B sums.
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

import torch

from relex.errors import WindowError
from relex.extrapolation.basis import Basis
from relex.extrapolation.basis_file import BASIS_FILE, BasisWriter, count_bits, unpack_bits
from relex.extrapolation.displacements import Piece, PieceReader, Span
from relex.extrapolation.factors import FactorsTable, TensorFit
from relex.extrapolation.fit_table import fit_tensor
from relex.extrapolation.gram import PieceGram, piece_gram
from relex.extrapolation.method import Method
from relex.extrapolation.piece_threads import PieceThreads, Work

OnProgress = Callable[[int, int], None]
"""Called with the elements done so far and the elements in all."""


class PieceFitter:
    """What is done with every piece of a tensor, and what is kept of it."""

    def __init__(self, reader: PieceReader, table: FactorsTable, methods: Sequence[Method]) -> None:
        self._reader, self._table, self._methods = reader, table, methods
        self._fits: dict[str, TensorFit] = {}

    def fit_into(
        self, folder: Path, names: Sequence[str], threads: PieceThreads, on_progress: OnProgress
    ) -> dict[str, TensorFit]:
        """Write the bases of the tensors to `folder`; returns the rest of what was found.

        Raises WindowError or CheckpointError when weights are not finite, StorageError when the
        disk refuses.
        """
        infos = self._reader.base.tensors
        num_elements = {name: infos[name].num_elements for name in names}
        with BasisWriter(folder / BASIS_FILE, num_elements) as writer, threads:
            self._writer = writer
            progress = _Progress(
                on_progress, sum(n * threads.num_reads(n) for n in num_elements.values())
            )
            threads.run(num_elements, Work(piece_gram, self._outputs_of, progress.advance))
        return self._fits

    def _outputs_of(self, name: str, firsts: Sequence[PieceGram]) -> Callable[[Piece, Span], None]:
        """Fit the tensor; returns what writes the basis of a piece."""
        num_steps = len(self._table.steps)
        zero_SS = torch.zeros(num_steps, num_steps, dtype=torch.float64)
        gram_SS = sum((first.gram_SS for first in firsts), zero_SS)
        self._check_finite(name, gram_SS)
        steps, rank = self._table.steps, self._table.rank
        self._fits[name], basis = fit_tensor(gram_SS, steps, rank, self._methods)
        num_moved = [count_bits(first.moved) for first in firsts]
        num_before = list(accumulate(num_moved, initial=0))
        self._writer.add(
            name,
            num_before[-1],
            len(basis.sum_BS),
            len(basis.snapshots),
            self._reader.window.tensors[name].dtype,
        )

        def outputs(piece: Piece, span: Span) -> None:
            sum_BM = _sums(piece, basis)
            snapshot_KM = piece.snapshot_SM[list(basis.snapshots), : piece.num_moving]
            index = span[0] // self._reader.piece_elements
            flags = unpack_bits(firsts[index].moved, piece.num_moving)
            is_moved_M = torch.from_numpy(flags).to(sum_BM.device)
            if num_moved[index] < piece.num_moving:
                sum_BM, snapshot_KM = sum_BM[:, is_moved_M], snapshot_KM[:, is_moved_M]
            position_M = piece.moved(is_moved_M)
            self._writer.put(
                name, span, position_M, num_before[index], sum_BM.cpu(), snapshot_KM.cpu()
            )

        return outputs

    def _check_finite(self, name: str, gram_SS: torch.Tensor) -> None:
        """A displacement that is not finite makes the sum of its squares so."""
        for step, square in zip(self._table.steps, gram_SS.diagonal().tolist(), strict=True):
            if not math.isfinite(square):
                raise WindowError(
                    f"{self._reader.window.where}: step {step}: {name} has values that are not "
                    "finite; leave the step out or train again"
                )


def _sums(piece: Piece, basis: Basis) -> torch.Tensor:
    """The directions and other sums of a piece's elements that may have moved: B x M, float32."""
    # Directions by themselves: other rows of a product may change how their sums are rounded.
    sum_BM = piece.combine(torch.from_numpy(basis.direction_RS).float())
    if not len(basis.dense_ES):
        return sum_BM
    dense_EM = piece.combine(torch.from_numpy(basis.dense_ES).float())
    return torch.cat([sum_BM, dense_EM])


class _Progress:
    """Counts the elements that were read."""

    def __init__(self, on_progress: OnProgress, num_total: int) -> None:
        self._on_progress, self._num_done, self._num_total = on_progress, 0, num_total

    def advance(self, num_elements: int) -> None:
        self._num_done += num_elements
        self._on_progress(self._num_done, self._num_total)

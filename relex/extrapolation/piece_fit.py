"""Fits tensors piece by piece, and writes directions and predictions as they are found.

S steps, N elements of one piece of a tensor, R directions.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import torch

from relex.checkpoints import Fill
from relex.errors import WindowError
from relex.extrapolation.directions_file import (
    DIRECTIONS_FILE,
    DirectionsWriter,
    count_bits,
    unpack_bits,
)
from relex.extrapolation.displacements import Piece, PieceReader, Span
from relex.extrapolation.factors import FactorsTable, TensorFit
from relex.extrapolation.fit_table import describe_tensor
from relex.extrapolation.gram import PieceGram, piece_gram
from relex.extrapolation.move import move_piece
from relex.extrapolation.piece_threads import PieceThreads, Work
from relex.extrapolation.predict import predict_coefficients
from relex.extrapolation.scratch import Scratch
from relex.extrapolation.subspace import leading_subspace, piece_directions

OnProgress = Callable[[int, int], None]
"""Called with the elements done so far and the elements in all."""


def fit_pieces(
    reader: PieceReader,
    names: Sequence[str],
    table: FactorsTable,
    folder: Path,
    threads: PieceThreads,
    checkpoints: Mapping[int, Fill],
    on_progress: OnProgress,
) -> dict[str, TensorFit]:
    """Fit the tensors `names`, and write their directions to `folder`.

    `checkpoints` get their prediction at each target, and all other tensors of the base as they
    are. Raises WindowError or CheckpointError when weights are not finite, StorageError when the
    disk refuses.
    """
    fitter = _Fitter(reader, table, checkpoints)
    return fitter.fit_into(folder / DIRECTIONS_FILE, names, threads, on_progress)


class _Fitter:
    """What is done with every piece of a tensor, and what is kept of it."""

    def __init__(
        self, reader: PieceReader, table: FactorsTable, checkpoints: Mapping[int, Fill]
    ) -> None:
        self._reader, self._table, self._checkpoints = reader, table, checkpoints
        self._fits: dict[str, TensorFit] = {}

    def fit_into(
        self, path: Path, names: Sequence[str], threads: PieceThreads, on_progress: OnProgress
    ) -> dict[str, TensorFit]:
        """Write the directions of the tensors to `path`; returns the rest of what was found."""
        infos = self._reader.base.tensors
        num_elements = {name: infos[name].num_elements for name in names}
        with DirectionsWriter(path, num_elements, self._table.rank) as writer, threads:
            self._writer = writer
            self._copy_buffers(infos.keys() - num_elements.keys())
            progress = _Progress(
                on_progress, sum(n * threads.num_reads(n) for n in num_elements.values())
            )
            threads.run(num_elements, Work(piece_gram, self._outputs_of, progress.advance))
        return self._fits

    def _copy_buffers(self, names: Collection[str]) -> None:
        for name in names:
            for fill in self._checkpoints.values():
                fill(name, 0, self._reader.base.read(name))

    def _outputs_of(
        self, name: str, firsts: Sequence[PieceGram]
    ) -> Callable[[Piece, Span, Scratch], None]:
        """Fit the tensor; returns what writes the directions and predictions of a piece."""
        num_steps = len(self._table.steps)
        zero_SS = torch.zeros(num_steps, num_steps, dtype=torch.float64)
        gram_SS = sum((first.gram_SS for first in firsts), zero_SS)
        self._check_finite(name, gram_SS)
        subspace = leading_subspace(gram_SS, self._table.rank)
        self._fits[name] = describe_tensor(self._table.positions, subspace, gram_SS)
        table = self._table.model_copy(update={"tensors": {name: self._fits[name]}})
        dtype = self._reader.base.tensors[name].dtype
        moves = [
            (fill, predict_coefficients(table, name, step))
            for step, fill in self._checkpoints.items()
        ]
        num_moved = [count_bits(first.moved) for first in firsts]
        num_before = list(accumulate(num_moved, initial=0))
        self._writer.add(name, num_before[-1])

        def outputs(piece: Piece, span: Span, scratch: Scratch) -> None:
            direction_RM = piece_directions(piece, subspace, scratch)
            for fill, coefficient_R in moves:
                predicted_N = move_piece(piece, direction_RM, coefficient_R, dtype, scratch)
                fill(name, span[0], scratch.to_host("predicted", predicted_N))
            index = span[0] // self._reader.piece_elements
            moved = firsts[index].moved
            if num_moved[index] < piece.num_moving:
                direction_RM = direction_RM[:, piece.gather(unpack_bits(moved, len(piece.base_N)))]
            direction_RM = scratch.to_host("directions", direction_RM)
            self._writer.put(name, span[0], moved, num_before[index], direction_RM)

        return outputs

    def _check_finite(self, name: str, gram_SS: torch.Tensor) -> None:
        """A displacement that is not finite makes the sum of its squares so."""
        for step, square in zip(self._table.steps, gram_SS.diagonal().tolist(), strict=True):
            if not math.isfinite(square):
                raise WindowError(
                    f"{self._reader.window.where}: step {step}: {name} has values that are not "
                    "finite; leave the step out or train again"
                )


class _Progress:
    """Counts the elements that were read."""

    def __init__(self, on_progress: OnProgress, num_total: int) -> None:
        self._on_progress, self._num_done, self._num_total = on_progress, 0, num_total

    def advance(self, num_elements: int) -> None:
        self._num_done += num_elements
        self._on_progress(self._num_done, self._num_total)

"""Fits tensors piece by piece, and writes bases and predictions as they are found.

S steps, N elements of one piece of a tensor, M of them that may have moved, B sums.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import torch

from relex.checkpoints import Fill
from relex.errors import WindowError
from relex.extrapolation.basis import Basis, Coefficients
from relex.extrapolation.basis_file import BASIS_FILE, BasisWriter, count_bits, unpack_bits
from relex.extrapolation.displacements import Piece, PieceReader, Span
from relex.extrapolation.factors import FactorsTable, TensorFit
from relex.extrapolation.fit_table import fit_tensor
from relex.extrapolation.gram import PieceGram, piece_gram
from relex.extrapolation.method import Method
from relex.extrapolation.move import Moving, move
from relex.extrapolation.piece_threads import PieceThreads, Work
from relex.extrapolation.predict import LINE, coefficients
from relex.extrapolation.scratch import Scratch

OnProgress = Callable[[int, int], None]
"""Called with the elements done so far and the elements in all."""


class PieceFitter:
    """What is done with every piece of a tensor, and what is kept of it."""

    def __init__(
        self,
        reader: PieceReader,
        table: FactorsTable,
        methods: Sequence[Method],
        checkpoints: Mapping[int, Fill],
    ) -> None:
        """`checkpoints` get the paper's line at each target, and all other tensors of the base as
        they are."""
        self._reader, self._table, self._methods = reader, table, methods
        self._checkpoints = checkpoints
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
        """Fit the tensor; returns what writes the basis and predictions of a piece."""
        num_steps = len(self._table.steps)
        zero_SS = torch.zeros(num_steps, num_steps, dtype=torch.float64)
        gram_SS = sum((first.gram_SS for first in firsts), zero_SS)
        self._check_finite(name, gram_SS)
        steps, rank = self._table.steps, self._table.rank
        self._fits[name], basis = fit_tensor(gram_SS, steps, rank, self._methods)
        moves = self._moves(name)
        num_moved = [count_bits(first.moved) for first in firsts]
        num_before = list(accumulate(num_moved, initial=0))
        self._writer.add(
            name,
            num_before[-1],
            len(basis.sum_BS),
            len(basis.snapshots),
            self._reader.window.tensors[name].dtype,
        )

        def outputs(piece: Piece, span: Span, scratch: Scratch) -> None:
            sum_BM = _sums(piece, basis, scratch)
            for fill, found in moves:
                predicted_N = _move(piece, sum_BM, found, scratch)
                fill(name, span[0], scratch.to_host("predicted", predicted_N))
            snapshot_KM = piece.snapshot_SM[list(basis.snapshots), : piece.num_moving]
            index = span[0] // self._reader.piece_elements
            flags = unpack_bits(firsts[index].moved, piece.num_moving)
            is_moved_M = torch.from_numpy(flags).to(sum_BM.device)
            if num_moved[index] < piece.num_moving:
                sum_BM, snapshot_KM = sum_BM[:, is_moved_M], snapshot_KM[:, is_moved_M]
            sum_BM = scratch.to_host("sums", sum_BM)
            snapshot_KM = scratch.to_host("snapshots", snapshot_KM)
            position_M = piece.moved(is_moved_M)
            self._writer.put(name, span, position_M, num_before[index], sum_BM, snapshot_KM)

        return outputs

    def _moves(self, name: str) -> list[tuple[Fill, Coefficients]]:
        table = self._table.model_copy(update={"tensors": self._fits})
        return [
            (fill, coefficients(table, name, LINE, target))
            for target, fill in self._checkpoints.items()
        ]

    def _check_finite(self, name: str, gram_SS: torch.Tensor) -> None:
        """A displacement that is not finite makes the sum of its squares so."""
        for step, square in zip(self._table.steps, gram_SS.diagonal().tolist(), strict=True):
            if not math.isfinite(square):
                raise WindowError(
                    f"{self._reader.window.where}: step {step}: {name} has values that are not "
                    "finite; leave the step out or train again"
                )


def _sums(piece: Piece, basis: Basis, scratch: Scratch) -> torch.Tensor:
    """The directions and other sums of a piece's elements that may have moved: B x M, float32."""
    # Directions by themselves: other rows of a product may change how their sums are rounded.
    sum_BM = piece.combine(torch.from_numpy(basis.direction_RS).float(), "directions", scratch)
    if not len(basis.dense_ES):
        return sum_BM
    dense_EM = piece.combine(torch.from_numpy(basis.dense_ES).float(), "dense sums", scratch)
    return torch.cat([sum_BM, dense_EM])


def _move(
    piece: Piece, sum_BM: torch.Tensor, found: Coefficients, scratch: Scratch
) -> torch.Tensor:
    """A piece moved along its directions: N in the base's dtype, in `scratch`."""
    moving = Moving(piece.base_N, piece.position_M, piece.start_M[: piece.num_moving])
    sums = [(sum_BM[row], x) for row, x in found.of_sums]
    return move(moving, (), sums, piece.base_N.dtype, scratch)


class _Progress:
    """Counts the elements that were read."""

    def __init__(self, on_progress: OnProgress, num_total: int) -> None:
        self._on_progress, self._num_done, self._num_total = on_progress, 0, num_total

    def advance(self, num_elements: int) -> None:
        self._num_done += num_elements
        self._on_progress(self._num_done, self._num_total)

"""Fits the factors of a window in one pass and bounded memory.

S steps, N elements of one piece of a tensor, R directions.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import torch

from relex.atomic import new_folder
from relex.checkpoints import Checkpoint, Fill, TensorFileWriter, fill_checkpoint
from relex.config.extrapolation import Convention
from relex.device import resolve_devices
from relex.errors import FactorsError, WindowError
from relex.extrapolation.checks import check_beyond, check_window_of_base, choose_steps
from relex.extrapolation.displacements import Piece, PieceReader, Span
from relex.extrapolation.factors import (
    DIRECTIONS_FILE,
    KIND,
    TABLE_FILE,
    DirectionFit,
    Factors,
    FactorsTable,
    TensorFit,
    directions_schema,
    open_factors,
)
from relex.extrapolation.gram import piece_gram
from relex.extrapolation.line_fit import fit_line
from relex.extrapolation.parts import Part, tensors_of_part
from relex.extrapolation.piece_threads import PieceThreads, Work
from relex.extrapolation.predict import add_displacement, predict_coefficients
from relex.extrapolation.scratch import Scratch
from relex.extrapolation.subspace import Subspace, leading_subspace, piece_directions
from relex.manifest import describe_folder, write_manifest
from relex.storage.folder import FolderStore
from relex.window import Window

OnProgress = Callable[[int, int], None]
"""Called with the elements done so far and the elements in all."""


def ignore_progress(num_done: int, num_total: int) -> None:
    pass


def fit_inputs(
    window: Window,
    base: Checkpoint,
    steps: tuple[int, ...],
    rank: int,
    convention: Convention = "exact",
    part: Part | None = None,
) -> dict[str, str]:
    """What determines the factors: digests of window and base, the steps and the options."""
    return {
        "base": base.digest(),
        "window": window.digest(steps, tensors_of_part(base, part)),
        "steps": ",".join(map(str, steps)),
        "rank": str(rank),
        "convention": convention,
    }


def fit_factors(
    window: Window,
    base: Checkpoint,
    out: Path,
    *,
    steps: tuple[int, int] | None = None,
    rank: int = 1,
    convention: Convention = "exact",
    part: Part | None = None,
    predictions: Mapping[int, Path] | None = None,
    memory_bytes: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    on_progress: OnProgress = ignore_progress,
) -> Factors:
    """Fit every floating-point tensor of `window` and write the factors to the new folder `out`.

    `steps` are the first and last step to use, both included; all by default. With `part`, only the
    tensors of that part are fitted, for `merge_factors` to join. `predictions` are targets and the
    new folders for their checkpoints, written in the same pass with the bits that `predict_tensors`
    gives. A tensor whose snapshots fit into `memory_bytes` is read once, a larger one twice; no
    bits depend on that budget. One piece of all steps is the least that is held. By default the
    budget is 2 GB on the CPU, and on every GPU of the machine half of what is free there.

    Raises InputError when `out` exists, WindowError, CheckpointError or FactorsError when window,
    base and options do not go together or weights are not finite, ResourceError when there is no
    such device, StorageError when reading or writing fails. Folders appear only when they are
    whole.
    """
    predictions = predictions or {}
    chosen = choose_steps(window, steps, rank)
    devices = resolve_devices(device)
    check_window_of_base(window, base)
    if part is not None and predictions:
        raise FactorsError(
            "a part of the tensors makes no checkpoint; merge the parts, then predict"
        )
    for target in predictions:
        check_beyond(window.where, chosen[-1], target)
    reader = PieceReader(window, base, chosen, convention)
    table = FactorsTable(
        base_digest=base.digest(),
        steps=chosen,
        rank=rank,
        convention=convention,
        part=part,
        tensors={},
    )
    with ExitStack() as stack:
        partial = stack.enter_context(new_folder(out))
        checkpoints = {
            target: stack.enter_context(fill_checkpoint(folder, base))
            for target, folder in predictions.items()
        }
        threads = PieceThreads(reader, devices, memory_bytes)
        fitter = _Fitter(reader, table, checkpoints)
        table = fitter.fit_into(partial / DIRECTIONS_FILE, threads, on_progress)
        folder = FolderStore(partial)
        folder.put(TABLE_FILE, table.model_dump_json(indent=1).encode())
        inputs = fit_inputs(window, base, chosen, rank, convention, part)
        write_manifest(folder, describe_folder(partial, KIND, inputs))
    return open_factors(out)


class _Fitter:
    """What is done with every piece of a tensor, and what is kept of it."""

    def __init__(
        self, reader: PieceReader, table: FactorsTable, checkpoints: Mapping[int, Fill]
    ) -> None:
        self._reader, self._table, self._checkpoints = reader, table, checkpoints
        self._fits: dict[str, TensorFit] = {}

    def fit_into(self, path: Path, threads: PieceThreads, on_progress: OnProgress) -> FactorsTable:
        """Write the directions of every tensor to `path`; returns the table with the rest."""
        infos = self._reader.base.tensors
        names = tensors_of_part(self._reader.base, self._table.part)
        num_elements = {n: infos[n].num_elements for n in names if infos[n].dtype.is_floating_point}
        schema = directions_schema(num_elements, self._table.rank)
        with TensorFileWriter(path, schema, {}) as writer, threads:
            self._writer = writer
            self._copy_buffers(infos.keys() - num_elements.keys())
            progress = _Progress(
                on_progress, sum(n * threads.num_reads(n) for n in num_elements.values())
            )
            threads.run(num_elements, Work(_gram, self._outputs_of, progress.advance))
        return self._table.model_copy(update={"tensors": self._fits})

    def _copy_buffers(self, names: Collection[str]) -> None:
        for name in names:
            for fill in self._checkpoints.values():
                fill(name, 0, self._reader.base.read(name))

    def _outputs_of(
        self, name: str, grams: Sequence[torch.Tensor]
    ) -> Callable[[Piece, Span, Scratch], None]:
        """Fit the tensor; returns what writes the directions and predictions of a piece."""
        num_steps = len(self._table.steps)
        gram_SS = sum(grams, torch.zeros(num_steps, num_steps, dtype=torch.float64))
        self._check_finite(name, gram_SS)
        subspace = leading_subspace(gram_SS, self._table.rank)
        self._fits[name] = describe_tensor(self._table.positions, subspace, gram_SS)
        table = self._table.model_copy(update={"tensors": {name: self._fits[name]}})
        dtype = self._reader.base.tensors[name].dtype
        moves = [
            (fill, predict_coefficients(table, name, step))
            for step, fill in self._checkpoints.items()
        ]

        def outputs(piece: Piece, span: Span, scratch: Scratch) -> None:
            direction_RN = piece_directions(piece, subspace, scratch)
            for fill, coefficient_R in moves:
                moved_N = add_displacement(
                    piece.base_N, direction_RN, coefficient_R, dtype, table.convention, scratch
                )
                fill(name, span[0], scratch.to_host("moved", moved_N))
            direction_NR = scratch.to_host("directions", self._padded(direction_RN))
            self._writer.put(name, span[0] * table.rank, direction_NR)

        return outputs

    def _padded(self, direction_RN: torch.Tensor) -> torch.Tensor:
        """As they are written: N x R, with columns of zeros for the directions that are absent."""
        num_absent = self._table.rank - len(direction_RN)
        if num_absent:
            direction_RN = torch.nn.functional.pad(direction_RN, (0, 0, 0, num_absent))
        return direction_RN.T.contiguous()

    def _check_finite(self, name: str, gram_SS: torch.Tensor) -> None:
        """A displacement that is not finite makes the sum of its squares so."""
        for step, square in zip(self._table.steps, gram_SS.diagonal().tolist(), strict=True):
            if not math.isfinite(square):
                raise WindowError(
                    f"{self._reader.window.where}: step {step}: {name} has values that are not "
                    "finite; leave the step out or train again"
                )


def _gram(piece: Piece, scratch: Scratch) -> torch.Tensor:
    return piece_gram(piece, scratch).cpu()


class _Progress:
    """Counts the elements that were read."""

    def __init__(self, on_progress: OnProgress, num_total: int) -> None:
        self._on_progress, self._num_done, self._num_total = on_progress, 0, num_total

    def advance(self, num_elements: int) -> None:
        self._num_done += num_elements
        self._on_progress(self._num_done, self._num_total)


def describe_tensor(
    positions: Sequence[int], subspace: Subspace, gram_SS: torch.Tensor
) -> TensorFit:
    """Coefficients and lines of a tensor's directions, and the Gram matrix they come from."""
    fits = [
        DirectionFit(
            sigma=float(sigma),
            coefficients=tuple(coefficient_S.tolist()),
            line=fit_line(positions, coefficient_S),
        )
        for sigma, coefficient_S in zip(subspace.sigma_R, subspace.coefficient_SR.T, strict=True)
    ]
    return TensorFit(
        squared_norm=subspace.squared_norm,
        directions=tuple(fits),
        gram=tuple(tuple(row_S[: row + 1]) for row, row_S in enumerate(gram_SS.tolist())),
    )

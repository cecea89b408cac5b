"""Fits the factors of a window, one tensor at a time, in bounded memory.

S steps, N elements of one span of a tensor, R directions.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch

from relex.atomic import new_folder
from relex.checkpoints import Checkpoint, TensorFileWriter
from relex.device import resolve_device
from relex.errors import WindowError
from relex.extrapolation.checks import check_window_of_base, choose_steps
from relex.extrapolation.displacements import DisplacementReader, Span, spans
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
from relex.extrapolation.gram import BLOCK_ELEMENTS, add_gram
from relex.extrapolation.line_fit import fit_line
from relex.extrapolation.subspace import Subspace, directions, leading_subspace
from relex.manifest import describe_folder, write_manifest
from relex.storage.folder import FolderStore
from relex.window import Window

DEFAULT_MEMORY_BYTES = 2_000_000_000
NUM_READERS = 8
FLOAT32_BYTES = 4

OnProgress = Callable[[int, int], None]
"""Called with the elements done so far and the elements in all."""


def ignore_progress(num_done: int, num_total: int) -> None:
    pass


def fit_inputs(
    window: Window, base: Checkpoint, steps: tuple[int, ...], rank: int
) -> dict[str, str]:
    """What determines the factors: digests of window and base, the steps and the rank."""
    return {
        "base": base.digest(),
        "window": window.digest(),
        "steps": ",".join(map(str, steps)),
        "rank": str(rank),
    }


def fit_factors(
    window: Window,
    base: Checkpoint,
    out: Path,
    *,
    steps: tuple[int, int] | None = None,
    rank: int = 1,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    on_progress: OnProgress = ignore_progress,
) -> Factors:
    """Fit every floating-point tensor of `window` and write the factors to the new folder `out`.

    `steps` are the first and last step to use, both included; all by default. A tensor whose
    displacements fit into `memory_bytes` is read once, a larger one twice; the factors' bits do not
    depend on that budget.

    Raises InputError when `out` exists, WindowError, CheckpointError or FactorsError when window,
    base and options do not go together or weights are not finite, ResourceError when there is no
    such device, StorageError when reading or writing fails. `out` appears only when it is whole.
    """
    chosen = choose_steps(window, steps, rank)
    where = torch.device(resolve_device(device))
    check_window_of_base(window, base)
    with new_folder(out) as partial, ThreadPoolExecutor(NUM_READERS) as threads:
        reader = DisplacementReader(window, base, chosen, where, threads)
        fitter = _Fitter(reader, rank, span_elements(memory_bytes, len(chosen), rank), on_progress)
        table = FactorsTable(
            base_digest=base.digest(),
            steps=chosen,
            rank=rank,
            tensors=fitter.fit_into(partial / DIRECTIONS_FILE),
        )
        folder = FolderStore(partial)
        folder.put(TABLE_FILE, table.model_dump_json(indent=1).encode())
        inputs = fit_inputs(window, base, chosen, rank)
        write_manifest(folder, describe_folder(partial, KIND, inputs))
    return open_factors(out)


def span_elements(memory_bytes: int, num_steps: int, rank: int) -> int:
    """Elements of displacements, base and directions that fit: whole blocks, at least one."""
    bytes_per_element = FLOAT32_BYTES * (num_steps + 1 + rank)
    num_blocks = memory_bytes // (bytes_per_element * BLOCK_ELEMENTS)
    return max(num_blocks, 1) * BLOCK_ELEMENTS


class _Fitter:
    """Fits tensor after tensor and reports progress in elements read."""

    def __init__(
        self, reader: DisplacementReader, rank: int, span_elements: int, on_progress: OnProgress
    ) -> None:
        self._reader, self._rank = reader, rank
        self._span_elements, self._on_progress = span_elements, on_progress
        self._num_elements = {
            name: info.num_elements
            for name, info in reader.base.tensors.items()
            if info.dtype.is_floating_point
        }
        self._num_read = 0
        self._num_to_read = sum(
            n if n <= span_elements else 2 * n for n in self._num_elements.values()
        )

    def fit_into(self, path: Path) -> dict[str, TensorFit]:
        """Write the directions of every tensor to `path`; the rest is returned by name."""
        schema = directions_schema(self._num_elements, self._rank)
        with TensorFileWriter(path, schema, {}) as writer:
            return {name: self._fit_tensor(name, writer) for name in schema}

    def _fit_tensor(self, name: str, writer: TensorFileWriter) -> TensorFit:
        parts = spans(0, self._num_elements[name], self._span_elements)
        gram_SS = torch.zeros(
            (len(self._reader.steps),) * 2, dtype=torch.float64, device=self._reader.device
        )
        displacement_SN = torch.empty(0)
        for part in parts:
            displacement_SN = self._read(name, part)
            add_gram(gram_SS, displacement_SN)
        self._check_finite(name, gram_SS)
        subspace = leading_subspace(gram_SS, self._rank)
        for part in parts:
            if len(parts) > 1:
                displacement_SN = self._read(name, part)
            writer.append(name, self._padded(directions(displacement_SN, subspace)))
        return describe_tensor(self._reader.steps, subspace, gram_SS)

    def _read(self, name: str, part: Span) -> torch.Tensor:
        displacement_SN = self._reader.read(name, *part)
        self._num_read += displacement_SN.shape[1]
        self._on_progress(self._num_read, self._num_to_read)
        return displacement_SN

    def _check_finite(self, name: str, gram_SS: torch.Tensor) -> None:
        """A displacement that is not finite makes the sum of its squares so."""
        for step, square in zip(self._reader.steps, gram_SS.diagonal().tolist(), strict=True):
            if not math.isfinite(square):
                raise WindowError(
                    f"{self._reader.window.where}: step {step}: {name} has values that are not "
                    "finite; leave the step out or train again"
                )

    def _padded(self, direction_NR: torch.Tensor) -> torch.Tensor:
        num_absent = self._rank - direction_NR.shape[1]
        return torch.nn.functional.pad(direction_NR, (0, num_absent))


def describe_tensor(steps: Sequence[int], subspace: Subspace, gram_SS: torch.Tensor) -> TensorFit:
    """Coefficients and lines of a tensor's directions, and the Gram matrix they come from."""
    fits = [
        DirectionFit(
            sigma=float(sigma),
            coefficients=tuple(coefficient_S.tolist()),
            line=fit_line(steps, coefficient_S),
        )
        for sigma, coefficient_S in zip(subspace.sigma_R, subspace.coefficient_SR.T, strict=True)
    ]
    return TensorFit(
        squared_norm=subspace.squared_norm,
        directions=tuple(fits),
        gram=tuple(tuple(row_S[: row + 1]) for row, row_S in enumerate(gram_SS.tolist())),
    )

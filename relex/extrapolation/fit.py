"""Fits the factors of a window in one pass and bounded memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from relex.checkpoints import Checkpoint
from relex.device import resolve_devices
from relex.extrapolation.checks import check_window_of_base, choose_steps
from relex.extrapolation.displacements import PieceReader
from relex.extrapolation.factors import (
    KIND,
    TABLE_FILE,
    Factors,
    FactorsTable,
    TensorFit,
    open_factors,
)
from relex.extrapolation.method import BUILT_IN, Method, find_methods
from relex.extrapolation.parts import Part, tensors_of_part
from relex.extrapolation.piece_fit import OnProgress, PieceFitter
from relex.extrapolation.piece_threads import PieceThreads
from relex.extrapolation.product_fit import fit_products
from relex.storage.atomic import new_folder
from relex.storage.folder import FolderStore
from relex.storage.manifest import describe_folder, write_manifest
from relex.window import AdapterWindow, Window


def ignore_progress(num_done: int, num_total: int) -> None:
    pass


def fit_inputs(
    window: Window,
    base: Checkpoint,
    steps: tuple[int, ...],
    rank: int = 1,
    methods: Sequence[str] = BUILT_IN,
    part: Part | None = None,
) -> dict[str, str]:
    """What determines the factors: digests of window and base, the steps and the options."""
    return {
        "base": base.digest(),
        "window": window.digest(steps, tensors_of_part(base, part)),
        "steps": ",".join(map(str, steps)),
        "rank": str(rank),
        "methods": ",".join(methods),
    }


def fit_factors(
    window: Window,
    base: Checkpoint,
    out: Path,
    *,
    steps: tuple[int, int] | None = None,
    rank: int = 1,
    methods: Sequence[str] = BUILT_IN,
    part: Part | None = None,
    memory_bytes: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    on_progress: OnProgress = ignore_progress,
) -> Factors:
    """Fit every floating-point tensor of `window` and write the factors to the new folder `out`.

    `steps` are the first and last step to use, both included; all by default. The factors keep the
    `rank` leading directions and what `methods` need beside them. With `part`, only the tensors of
    that part are fitted, for `merge_factors` to join. A tensor whose snapshots fit into
    `memory_bytes` is read once, a larger one twice; no bits depend on that budget. One piece of all
    steps is the least that is held. By default the budget is 2 GB on the CPU, and on every GPU of
    the machine half of what is free there.

    Raises InputError when `out` exists or there is no such method, WindowError, CheckpointError or
    FactorsError when window, base and options do not go together or weights are not finite,
    ResourceError when there is no such device, StorageError when reading or writing fails. Folders
    appear only when they are whole.
    """
    found = find_methods(methods)
    chosen = choose_steps(window, steps, rank)
    devices = resolve_devices(device)
    check_window_of_base(window, base)
    reader = PieceReader(window, base, chosen)
    table = FactorsTable(
        base_digest=base.digest(),
        steps=chosen,
        rank=rank,
        methods=tuple(methods),
        part=part,
        tensors={},
    )
    threads = PieceThreads(reader, devices, memory_bytes)
    with new_folder(out) as partial:
        fits = _fit_all(reader, table, found, partial, threads, on_progress)
        table = table.model_copy(update={"tensors": fits})
        folder = FolderStore(partial)
        folder.put(TABLE_FILE, table.model_dump_json(indent=1).encode())
        inputs = fit_inputs(window, base, chosen, rank, methods, part)
        write_manifest(folder, describe_folder(partial, KIND, inputs))
    return open_factors(out)


def _fit_all(
    reader: PieceReader,
    table: FactorsTable,
    methods: Sequence[Method],
    folder: Path,
    threads: PieceThreads,
    on_progress: OnProgress,
) -> dict[str, TensorFit]:
    """Fit every floating-point tensor of the table's part; writes bases into `folder`."""
    infos, window = reader.base.tensors, reader.window
    names = tensors_of_part(reader.base, table.part)
    names = [name for name in names if infos[name].dtype.is_floating_point]
    fits: dict[str, TensorFit] = {}
    dense = names
    if isinstance(window, AdapterWindow):
        fits = fit_products(window, names, table, methods, folder, on_progress)
        dense = [name for name in names if name in window.saved]
    fitter = PieceFitter(reader, table, methods)
    fits |= fitter.fit_into(folder, dense, threads, on_progress)
    return {name: fits[name] for name in names}

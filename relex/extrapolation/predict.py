"""The weights at a step: the base plus the displacement of a method, rounded once.

Where only a part of the tensors moves, all others have the newest snapshot's bits.

N elements of one piece of a tensor, M of them that may have moved, S steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import torch

from relex.checkpoints import Checkpoint, NamedTensor, fill_checkpoint
from relex.device import Device, num_cores, one_torch_thread
from relex.errors import FactorsError
from relex.extrapolation.basis import NOTHING, Coefficients
from relex.extrapolation.card import origin_of, seal
from relex.extrapolation.displacements import PIECE_ELEMENTS, Span, spans
from relex.extrapolation.factors import Factors, FactorsTable
from relex.extrapolation.method import Method, find_method
from relex.extrapolation.move import Moving, move
from relex.parts import ALL, Part

LINE = find_method("line")


def predict_tensors(
    factors: Factors,
    base: Checkpoint,
    target: int,
    method: Method = LINE,
    device: Device = "cpu",
    part: Part = ALL,
) -> Iterator[NamedTensor]:
    """Every tensor of the base at `target`, in the base's order and dtypes, on `device`.

    Tensors that never moved and those without floating-point numbers are the base's own. One
    tensor is held at a time.

    Raises, before the first tensor, FactorsError when the method does not go to the target or was
    not fitted, the factors are of another base or only a part, or lack the newest snapshot although
    `part` leaves tensors there; InputError when the base has nothing of `part`.
    """
    predictor = Predictor(factors, base, method, [target], device, part)
    return ((name, predictor.tensor(name)) for name in base.tensors)


def write_predictions(
    factors: Factors,
    base: Checkpoint,
    folders: Mapping[int, Path],
    method: Method = LINE,
    device: Device = "cpu",
    on_progress: Callable[[int, int], None] = lambda num_done, num_total: None,
    part: Part = ALL,
    base_name: str = "",
) -> None:
    """Write the checkpoint of every target in `folders` to its new folder, reading factors once.

    The bits are those of `predict_tensors`; raises as it does, and InputError when a folder exists.
    Each has a card, in which the base has the name `base_name`, and a manifest.
    `on_progress` receives the elements done of one checkpoint and its elements in all.
    """
    predictor = Predictor(factors, base, method, list(folders), device, part)
    pieces = [
        (name, span)
        for name, info in base.tensors.items()
        for span in spans(0, info.num_elements, PIECE_ELEMENTS)
    ]
    num_total = sum(info.num_elements for info in base.tensors.values())
    num_done = 0
    origins = [origin_of(factors.table, method, target, part) for target in folders]
    outs = list(folders.values())
    with ExitStack() as stack:
        fills = [
            stack.enter_context(fill_checkpoint(out, base, origin))
            for out, origin in zip(outs, origins, strict=True)
        ]

        def write(piece: tuple[str, Span]) -> int:
            name, (start, stop) = piece
            for fill, weights_N in zip(fills, predictor.piece(name, (start, stop)), strict=True):
                fill(name, start, weights_N)
            return stop - start

        pool = stack.enter_context(ThreadPoolExecutor(num_cores(), initializer=one_torch_thread))
        try:
            for num_elements in pool.map(write, pieces):
                num_done += num_elements
                on_progress(num_done, num_total)
        finally:
            pool.shutdown(cancel_futures=True)
    for out, origin in zip(outs, origins, strict=True):
        seal(out, base, base_name, factors.table, origin)


def check_base(factors: Factors, base: Checkpoint) -> None:
    """Raise FactorsError unless the factors are whole and were fitted on exactly this base."""
    if factors.table.part is not None:
        number, num_parts = factors.table.part
        raise FactorsError(
            f"{factors.folder}: is part {number} of {num_parts}; join all parts with relex merge"
        )
    if base.digest() != factors.table.base_digest:
        raise FactorsError(
            f"{factors.folder}: was fitted on another base than {base.folder} (digests "
            f"{factors.table.base_digest[:12]} and {base.digest()[:12]}); give that base"
        )


def coefficients(table: FactorsTable, name: str, method: Method, target: int) -> Coefficients:
    """What a method is on the basis of a tensor; raises FactorsError when it does not lie in it."""
    fit = table.tensors.get(name)
    if fit is None or not fit.directions:
        return NOTHING
    weight_S = method.weights(fit.gram_SS, table.steps, target)
    found = fit.basis(table.steps).solve(weight_S)
    if found is None:
        raise FactorsError(
            f"method {method.text}: {name} at step {target} does not lie in what was kept of the "
            f"window, which is for {', '.join(table.methods)}; fit again with --method "
            f"{method.text}"
        )
    return found


def newest(table: FactorsTable, name: str, part: Part) -> Coefficients:
    """The newest snapshot of a tensor outside of `part`; raises FactorsError if it is not kept."""
    fit = table.tensors.get(name)
    if fit is None or not fit.directions:
        return NOTHING
    if table.steps[-1] not in fit.snapshots:
        raise FactorsError(
            f"part {part.text}: {name} is outside of it and stays at step {table.steps[-1]}, which "
            f"was not kept of the window for {', '.join(table.methods)}; fit again with --method "
            "secant"
        )
    return Coefficients((), ((fit.snapshots.index(table.steps[-1]), 1.0),))


class Predictor:
    """Predictions of one method for several targets, piece by piece."""

    def __init__(
        self,
        factors: Factors,
        base: Checkpoint,
        method: Method,
        targets: Sequence[int],
        device: Device = "cpu",
        part: Part = ALL,
    ) -> None:
        """Raises as `predict_tensors`."""
        table = factors.table
        for target in targets:
            method.check_target(str(factors.folder), table.steps, target)
        check_base(factors, base)
        self._factors, self._base = factors, base
        moving = part.names(base.tensors)
        self.coefficients_of = {
            name: [
                coefficients(table, name, method, target)
                if name in moving
                else newest(table, name, part)
                for target in targets
            ]
            for name in base.tensors
        }
        """What every tensor is at each of the targets."""
        self._device = torch.device(device)

    def tensor(self, name: str) -> torch.Tensor:
        """The whole tensor at the first of the targets."""
        info = self._base.tensors[name]
        tensor = torch.empty(info.num_elements, dtype=info.dtype, device=self._device)
        for span in spans(0, info.num_elements, PIECE_ELEMENTS):
            tensor[slice(*span)] = next(self.piece(name, span))
        return tensor.reshape(info.shape)

    def piece(self, name: str, span: Span) -> Iterator[torch.Tensor]:
        """One span of a tensor at every target, in the base's dtype."""
        weights_N = self._base.read(name, *span).to(self._device)
        found = self.coefficients_of[name]
        if not any(each.factors for each in found):
            yield from (weights_N for _ in found)
            return
        basis = self._factors.read_span(name, *span)
        position_M = None if basis.position_M is None else basis.position_M.to(self._device)
        start_M = weights_N if position_M is None else weights_N[position_M]
        if found[0].is_snapshot:
            newest_M = basis.weights(found[0].of_snapshots[0][0], start_M)
            if position_M is not None:
                newest_M = weights_N.scatter(0, position_M, newest_M)
            yield from (newest_M for _ in found)
            return
        moving = Moving(weights_N, position_M, start_M)
        snapshot_of = {
            row: basis.snapshot(row, start_M)
            for row in {row for each in found for row, _ in each.of_snapshots}
        }
        sum_of = {
            row: basis.sum(row).to(self._device)
            for row in {row for each in found for row, _ in each.of_sums}
        }
        for each in found:
            snapshots = [(snapshot_of[row], x) for row, x in each.of_snapshots]
            sums = [(sum_of[row], x) for row, x in each.of_sums]
            yield move(moving, snapshots, sums)

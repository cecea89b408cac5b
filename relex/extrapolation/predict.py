"""The weights at a step: an anchor plus the predicted displacement, rounded once.

N elements of one piece of a tensor, M of them that may have moved, R directions, S steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from relex.checkpoints import Checkpoint, NamedTensor, fill_checkpoint
from relex.config.extrapolation import PredictionOptions
from relex.device import Device
from relex.errors import FactorsError
from relex.extrapolation.checks import check_prediction, check_window_of_base
from relex.extrapolation.displacements import PIECE_ELEMENTS, Span, spans
from relex.extrapolation.factors import Factors, FactorsTable
from relex.extrapolation.move import Moving, move
from relex.extrapolation.polynomial import polynomial_weights
from relex.extrapolation.scratch import Scratch
from relex.window import Window

THE_LINE = PredictionOptions()


def predict_tensors(
    factors: Factors,
    base: Checkpoint,
    step: int,
    options: PredictionOptions = THE_LINE,
    window: Window | None = None,
    device: Device = "cpu",
) -> Iterator[NamedTensor]:
    """Every tensor of the base at `step`, in the base's order and dtypes, on `device`.

    `window` is the one that was fitted, for options that take the newest snapshot from it. Tensors
    that never moved and those without floating-point numbers are the base's own. One tensor is held
    at a time.

    Raises, before the first tensor, FactorsError when the step and the options do not go with the
    factors, the factors are of another base or only a part; WindowError when the window is not
    theirs.
    """
    predictor = _Predictor(factors, base, [step], options, window, device)
    return ((name, predictor.tensor(name)) for name in base.tensors)


def predict_tensor(
    factors: Factors, base: Checkpoint, name: str, step: int, options: PredictionOptions = THE_LINE
) -> torch.Tensor:
    """One tensor as `predict_tensors` gives it; raises as that does."""
    return _Predictor(factors, base, [step], options, None, "cpu").tensor(name)


def write_predictions(
    factors: Factors,
    base: Checkpoint,
    folders: Mapping[int, Path],
    options: PredictionOptions = THE_LINE,
    window: Window | None = None,
    device: Device = "cpu",
    on_progress: Callable[[int, int], None] = lambda num_done, num_total: None,
) -> None:
    """Write the checkpoint of every step in `folders` to its new folder, reading factors once.

    The bits are those of `predict_tensors`; raises as it does, and InputError when a folder exists.
    `on_progress` receives the elements done of one checkpoint and its elements in all.
    """
    predictor = _Predictor(factors, base, list(folders), options, window, device)
    num_total = sum(info.num_elements for info in base.tensors.values())
    num_done = 0
    with ExitStack() as stack:
        fills = [stack.enter_context(fill_checkpoint(out, base)) for out in folders.values()]
        for name, info in base.tensors.items():
            for span in spans(0, info.num_elements, PIECE_ELEMENTS):
                for fill, weights_N in zip(fills, predictor.piece(name, span), strict=True):
                    fill(name, span[0], weights_N)
                num_done += span[1] - span[0]
                on_progress(num_done, num_total)


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


def predict_coefficients(
    table: FactorsTable, name: str, step: int, options: PredictionOptions = THE_LINE
) -> torch.Tensor:
    """What the displacement from the anchor is along each direction of `name`: R, float64."""
    rows = slice(None)
    if options.line_steps is not None:
        first, last = options.line_steps
        inside = [row for row, found in enumerate(table.steps) if first <= found <= last]
        rows = slice(inside[0], inside[-1] + 1)
    observed_RS = torch.tensor(
        [direction.coefficients for direction in table.tensors[name].directions[: options.rank]],
        dtype=torch.float64,
    ).reshape(-1, len(table.steps))
    positions = [table.position(found) for found in table.steps[rows]]

    def at(step: int) -> torch.Tensor:
        if options.denoise == "observed":
            return observed_RS[:, table.steps.index(step)]
        weight_S = polynomial_weights(positions, options.degree, table.position(step))
        return observed_RS[:, rows] @ torch.from_numpy(weight_S)

    anchored_R = at(table.steps[-1]) if options.anchor == "newest" else torch.zeros(())
    return options.shrinkage * (at(step) - anchored_R)


def predict_displacement(
    factors: Factors, name: str, step: int, options: PredictionOptions = THE_LINE
) -> torch.Tensor:
    """The displacement of `name` from the anchor, before it is added and rounded.

    Flattened, float32.
    """
    coefficient_R = predict_coefficients(factors.table, name, step, options)
    return factors.read_directions(name)[:, : len(coefficient_R)] @ coefficient_R.float()


class _Predictor:
    """Predictions for several steps with the same options, piece by piece."""

    def __init__(
        self,
        factors: Factors,
        base: Checkpoint,
        steps: Sequence[int],
        options: PredictionOptions,
        window: Window | None,
        device: Device,
    ) -> None:
        """Raises as `predict_tensors`."""
        for step in steps:
            check_prediction(str(factors.folder), factors.table, step, options)
        check_base(factors, base)
        self._newest = _newest(factors, base, window) if options.needs_window else None
        self._factors, self._base = factors, base
        self._steps, self._options = steps, options
        self._scratch = Scratch(torch.device(device))

    def tensor(self, name: str) -> torch.Tensor:
        """The whole tensor at the first of the steps."""
        info = self._base.tensors[name]
        tensor = torch.empty(info.num_elements, dtype=info.dtype, device=self._scratch.device)
        for span in spans(0, info.num_elements, PIECE_ELEMENTS):
            tensor[slice(*span)] = next(self.piece(name, span))
        return tensor.reshape(info.shape)

    def piece(self, name: str, span: Span) -> Iterator[torch.Tensor]:
        """One span of a tensor at every step, in the base's dtype; each ends the one before it."""
        dtype, table = self._base.tensors[name].dtype, self._factors.table
        copied = self._options.norms == "newest" and is_norm(name)
        weights_N = self._anchor(name, span, copied).to(self._scratch.device)
        if copied or name not in table.tensors or not table.tensors[name].directions:
            yield from (weights_N.to(dtype) for _ in self._steps)
            return
        moving = self._moving(name, span, weights_N)
        for step in self._steps:
            coefficient_R = predict_coefficients(table, name, step, self._options)
            yield move(moving, coefficient_R, dtype, table.convention, self._scratch)

    def _moving(self, name: str, span: Span, weights_N: torch.Tensor) -> Moving:
        device = self._scratch.device
        position_M, direction_MR = self._factors.read_moved(name, *span)
        direction_RM = direction_MR.to(device).T.contiguous()
        if position_M is None:
            return Moving(weights_N, None, weights_N, direction_RM)
        position_M = position_M.to(device)
        return Moving(weights_N, position_M, weights_N[position_M], direction_RM)

    def _anchor(self, name: str, span: Span, copied: bool) -> torch.Tensor:
        if self._newest is not None and (copied or self._options.anchor == "newest"):
            return self._newest.read(self._factors.last_step, name, *span)
        return self._base.read(name, *span)


def is_norm(name: str) -> bool:
    """Whether a tensor belongs to a normalisation layer, by its name."""
    return "norm" in name.lower()


def _newest(factors: Factors, base: Checkpoint, window: Window | None) -> Window:
    if window is None:
        raise FactorsError("this prediction starts at the newest snapshot; give the window too")
    check_window_of_base(window, base)
    if factors.last_step not in window.steps:
        raise FactorsError(
            f"{window.where}: has no step {factors.last_step}, where the factors end; "
            "give the window that was fitted"
        )
    return window

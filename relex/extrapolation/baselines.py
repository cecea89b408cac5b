"""Predictions without directions, to measure the method against.

S steps, N elements of one piece of a tensor.

Each is the base plus a weighted sum of displacements, with weights that depend on the steps alone:
those of a least-squares polynomial over some of the steps.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch

from relex.checkpoints import Checkpoint, NamedTensor
from relex.config.extrapolation import PredictionOptions
from relex.errors import WindowError
from relex.extrapolation.checks import check_beyond, check_window_of_base
from relex.extrapolation.displacements import PieceReader, spans
from relex.extrapolation.move import Moving, move
from relex.extrapolation.polynomial import polynomial_weights
from relex.extrapolation.predict import THE_LINE, is_norm
from relex.extrapolation.scratch import Scratch
from relex.window import Window

Baseline = Literal["scaled", "secant", "line"]


def baseline_tensors(
    window: Window,
    base: Checkpoint,
    baseline: Baseline,
    step: int,
    options: PredictionOptions = THE_LINE,
) -> Iterator[NamedTensor]:
    """Every tensor of the base at `step` by a baseline, on the CPU, in the base's order and dtypes.

    `scaled` is the line from the base through the first snapshot, `secant` the one through two
    snapshots, the last two unless `line_steps` names them, `line` the polynomial of every weight by
    itself. Anchor, shrinkage, norms, degree (of `line`) and `line_steps` are as for directions.

    Raises, before the first tensor, FactorsError when `step` is not beyond the window, WindowError
    when the window is of another base or lacks the steps.
    """
    check_window_of_base(window, base)
    check_beyond(window.where, window.steps[-1], step)
    weight_of = baseline_weights(window, baseline, step, options)
    return (
        (name, _tensor(window, base, name, weight_of, options).reshape(info.shape))
        for name, info in base.tensors.items()
    )


def baseline_weights(
    window: Window, baseline: Baseline, step: int, options: PredictionOptions
) -> dict[int, float]:
    """Weights of the displacements at some steps of the window in the displacement at `step`."""
    steps = _chosen_steps(window, baseline, options)
    degree = options.degree if baseline == "line" else 1
    if len(steps) <= degree:
        raise WindowError(f"{window.where}: {len(steps)} steps are too few for degree {degree}")
    weight_S = polynomial_weights(steps, degree, step)
    if options.anchor == "newest":
        weight_S = weight_S - polynomial_weights(steps, degree, window.steps[-1])
    weight_S = weight_S * options.shrinkage
    return {found: float(weight) for found, weight in zip(steps, weight_S, strict=True) if found}


def _chosen_steps(window: Window, baseline: Baseline, options: PredictionOptions) -> Sequence[int]:
    """Steps on the line, ascending; step 0 is the base, whose displacement is zero."""
    if baseline == "scaled":
        return (0, window.steps[0])
    if baseline == "line":
        first, last = options.line_steps or (window.steps[0], window.steps[-1])
        return [found for found in window.steps if first <= found <= last]
    ends = options.line_steps or window.steps[-2:]
    for end in ends:
        if end and end not in window.steps:
            raise WindowError(f"{window.where}: has no step {end} for a secant")
    return ends


def _tensor(
    window: Window,
    base: Checkpoint,
    name: str,
    weight_of: dict[int, float],
    options: PredictionOptions,
) -> torch.Tensor:
    info = base.tensors[name]
    if not info.dtype.is_floating_point:
        return base.read(name)
    if options.norms == "newest" and is_norm(name):
        return window.read(window.steps[-1], name).to(info.dtype)
    reader = PieceReader(window, base, list(weight_of), "exact")
    weight_1S = torch.tensor([list(weight_of.values())])
    buffer = torch.empty(reader.buffer_bytes, dtype=torch.uint8)
    scratch = Scratch(torch.device("cpu"))
    newest = options.anchor == "newest"
    start = window.read(window.steps[-1], name) if newest else base.read(name)
    tensor = torch.empty(info.num_elements, dtype=info.dtype)
    for first, last in spans(0, info.num_elements, reader.piece_elements):
        piece = reader.read(name, (first, last), buffer, scratch)
        start_N, position_M = start[first:last], piece.position_M
        start_M = start_N if position_M is None else start_N[position_M]
        moving = Moving(start_N, position_M, start_M, piece.combine(weight_1S, scratch))
        tensor[first:last] = move(moving, torch.ones(1), info.dtype, "exact", scratch)
    return tensor

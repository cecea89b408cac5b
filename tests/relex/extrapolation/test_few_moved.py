"""Windows in which 0, 1 or 2 elements of a tensor moved, tensors of one element, and pieces and
blocks that end with one element: every layout, precision and rank gives the line of a float64
reference, and what did not move keeps the base's bits.

S steps, N elements of one tensor.
"""

import itertools
from collections.abc import Sequence

import pytest
import torch
from safetensors.torch import save_file

from relex.checkpoints import Checkpoint
from relex.extrapolation import (
    Factors,
    diagnose,
    fit_factors,
    write_predictions,
)
from relex.extrapolation.displacements import BLOCK_ELEMENTS, PIECE_ELEMENTS
from relex.extrapolation.method import Method, find_method
from relex.storage import open_store
from relex.window import Window, open_window, pack
from relex.window.codec.delta_writer import BLOCK_ELEMENTS as CODEC_BLOCK_ELEMENTS
from tests.displacements import predict_displacement
from tests.snapshots import folder_source

STEPS, TARGET = (1, 2, 4), 20
Tensors = dict[str, torch.Tensor]

SMALL_SHAPES = [(), (1,), (1, 1), (2,), (1, 3), (3, 1), (8, 8)]
LARGE_SHAPES = [(size + 1,) for size in (BLOCK_ELEMENTS, PIECE_ELEMENTS, CODEC_BLOCK_ELEMENTS)]

MOVES = {
    "nothing": {},
    "first": {0: (1, 2, 4)},
    "last": {-1: (1, 2, 4)},
    "bent": {-1: (1, 3, 4)},
    "at the last step": {0: (0, 0, 1)},
    "and came back": {-1: (1, 2, 0)},
    "first and last": {0: (1, 2, 4), -1: (-2, -4, -8)},
    "first and last apart": {0: (1, 2, 4), -1: (3, 1, 2)},
}
"""Positions that move, and how far at each step, in units of 2^-6."""

AT_ENDS = ("last", "first and last apart")

LAYOUTS = {
    "folder, bfloat16": (None, torch.bfloat16),
    "folder, float16": (None, torch.float16),
    "folder, float32": (None, torch.float32),
    "deltas, exact bfloat16": ("exact", torch.bfloat16),
    "deltas, exact float16": ("exact", torch.float16),
    "deltas, exact float32": ("exact", torch.float32),
    "deltas, bfloat16": ("bfloat16", torch.float32),
    "deltas, float32": ("float32", torch.bfloat16),
    "deltas, rounded": ("rounded", torch.float32),
}


def cases() -> list[tuple[str, tuple[int, ...], dict[int, Sequence[int]]]]:
    small = itertools.product(SMALL_SHAPES, MOVES)
    large = itertools.product(LARGE_SHAPES, AT_ENDS)
    return [(f"{shape} {move}", shape, MOVES[move]) for shape, move in (*small, *large)]


def weights_at(row: int | None, dtype: torch.dtype) -> Tensors:
    """The base, or the snapshot in a row of the window."""
    tensors = {}
    for name, shape, moves in cases():
        tensors[name] = torch.ones(shape, dtype=dtype)
        for position, sizes in moves.items() if row is not None else ():
            tensors[name].view(-1)[position] = 1 + sizes[row] / 64
    return tensors


@pytest.fixture(scope="module", params=LAYOUTS)
def laid_out(request, tmp_path_factory) -> tuple[Window, Checkpoint]:
    precision, dtype = LAYOUTS[request.param]
    folder = tmp_path_factory.mktemp("few")
    for name, row in [("base", None), *((f"run/step_{s}", r) for r, s in enumerate(STEPS))]:
        (folder / name).mkdir(parents=True)
        save_file(weights_at(row, dtype), folder / name / "model.safetensors", {"format": "pt"})
    base, where = Checkpoint(folder / "base"), folder / "run"
    if precision is not None:
        where = folder / "window"
        pack(folder_source(folder / "run"), base, open_store(str(where)), precision=precision)
    return open_window(str(where), base=base), base


def displacement_SN(window: Window, base: Checkpoint, name: str) -> torch.Tensor:
    rows = [window.read(step, name) for step in window.steps]
    return torch.stack(rows).double() - base.read(name).double()


def reference(found_SN: torch.Tensor, rank: int) -> torch.Tensor:
    """The displacement at TARGET on the lines through the first singular vectors, float64."""
    moved_N = found_SN.abs().amax(0) > 0
    u_SR, sigma_R, v_RN = torch.linalg.svd(found_SN[:, moved_N], full_matrices=False)
    time_S2 = torch.tensor([[float(step), 1.0] for step in STEPS], dtype=torch.float64)
    line_2R = torch.linalg.lstsq(time_S2, u_SR[:, :rank] * sigma_R[:rank]).solution
    expected_N = torch.zeros_like(moved_N, dtype=torch.float64)
    expected_N[moved_N] = (TARGET * line_2R[0] + line_2R[1]) @ v_RN[:rank]
    return expected_N


def line(rank: int) -> Method:
    return find_method(f"line-rank{rank}")


def assert_is_the_line(factors: Factors, window: Window, base: Checkpoint, rank: int) -> None:
    for name in base.tensors:
        found_SN = displacement_SN(window, base, name)
        expected_N = reference(found_SN, rank)
        error_N = (predict_displacement(factors, name, TARGET, line(rank)) - expected_N).abs()
        assert error_N.max() <= 2e-6 * max(found_SN.abs().max(), expected_N.abs().max()), name


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).view(torch.uint8)


def assert_is_written(written: Checkpoint, window: Window, base: Checkpoint, rank: int) -> None:
    """What moved lies on the line, rounded to the base's dtype; the rest has the base's bits."""
    for name, info in base.tensors.items():
        found_SN = displacement_SN(window, base, name)
        expected_N = base.read(name).double() + reference(found_SN, rank)
        found_N = written.read(name)
        unit = torch.finfo(info.dtype).eps
        assert torch.allclose(found_N.double(), expected_N, rtol=unit, atol=2e-6), name
        still_N = found_SN.abs().amax(0) == 0
        assert torch.equal(bits(found_N[still_N]), bits(base.read(name)[still_N])), name


@pytest.mark.parametrize("rank", [1, 2])
def test_the_line_of_what_moved_is_that_of_the_reference(laid_out, tmp_path, rank) -> None:
    window, base = laid_out
    method = line(rank)
    factors = fit_factors(
        window, base, tmp_path / "factors", rank=rank, methods=(method.text,), device="cpu"
    )
    assert_is_the_line(factors, window, base, rank)
    write_predictions(factors, base, {TARGET: tmp_path / "later"}, method)
    assert_is_written(Checkpoint(tmp_path / "later"), window, base, rank)
    assert len(diagnose(factors.table).tensors) == len(cases())

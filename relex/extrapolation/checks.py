"""What must hold before a fit reads any weights."""

from relex.checkpoints import Checkpoint, TensorInfo, check_same_tensors
from relex.config.extrapolation import PredictionOptions
from relex.errors import CheckpointError, FactorsError, WindowError
from relex.extrapolation.factors import FactorsTable
from relex.window import Window


def choose_steps(window: Window, first_last: tuple[int, int] | None, rank: int) -> tuple[int, ...]:
    """The window's steps from the first to the last one asked for, ascending.

    Raises WindowError when the window ends before the last one or leaves fewer than two, and
    FactorsError when `rank` is not within 1 and their number.
    """
    end = max(window.steps, default=0)
    first, last = first_last or (min(window.steps, default=0), end)
    if last > end:
        raise WindowError(
            f"{window.where}: ends at step {end}, asked for steps up to {last}; ask for fewer"
        )
    steps = tuple(sorted(step for step in window.steps if first <= step <= last))
    if len(steps) < 2:
        raise WindowError(
            f"{window.where}: has {len(steps)} snapshots in steps {first} to {last}; a line needs "
            "at least two"
        )
    if not 1 <= rank <= len(steps):
        raise FactorsError(
            f"{window.where}: rank {rank} is impossible with {len(steps)} snapshots; "
            f"choose 1 to {len(steps)}"
        )
    return steps


def check_beyond(where: str, last_step: int, step: int) -> None:
    """Raise FactorsError unless `step` lies beyond the last step that was fitted."""
    if step <= last_step:
        raise FactorsError(
            f"{where}: step {step} is not beyond the window, which ends at step {last_step}; "
            "give a later step, take the snapshot itself, or denoise it"
        )


def check_prediction(
    where: str, table: FactorsTable, step: int, options: PredictionOptions
) -> None:
    """Raise FactorsError unless the factors can answer for `step` with these options."""
    if options.denoise == "no":
        check_beyond(where, table.steps[-1], step)
    elif step not in table.steps:
        raise FactorsError(f"{where}: step {step} was not fitted, so it cannot be denoised")
    if options.rank is not None and options.rank > table.rank:
        raise FactorsError(
            f"{where}: has rank {table.rank}, asked for {options.rank}; fit with a higher rank"
        )
    first, last = options.line_steps or (table.steps[0], table.steps[-1])
    num_steps = sum(first <= found <= last for found in table.steps)
    if num_steps <= options.degree or num_steps < 2:
        raise FactorsError(
            f"{where}: {num_steps} steps from {first} to {last} are too few for degree "
            f"{options.degree}"
        )


def check_window_of_base(window: Window, base: Checkpoint) -> None:
    """Raise CheckpointError or WindowError unless the window's snapshots can start at `base`.

    Names and shapes must agree, the same tensors must hold floating-point numbers, none of them of
    8 bits, and a window that knows its base must know this one.
    """
    check_same_tensors(window.where, window.tensors, base.tensors)
    for name, info in base.tensors.items():
        _check_dtypes(f"{window.where}: {name}", window.tensors[name], info)
    if window.base_digest is not None and window.base_digest != base.digest():
        raise WindowError(
            f"{window.where}: was made from another base than {base.folder} (digests "
            f"{window.base_digest[:12]} and {base.digest()[:12]}); give the base it started from"
        )


def _check_dtypes(where: str, found: TensorInfo, expected: TensorInfo) -> None:
    if found.dtype.is_floating_point != expected.dtype.is_floating_point:
        raise CheckpointError(f"{where} is {found.dtype}, in the base it is {expected.dtype}")
    for info in (found, expected):
        if info.dtype.is_floating_point and info.dtype.itemsize == 1:
            raise CheckpointError(
                f"{where} is quantised ({info.dtype}); only unquantised weights move along a line"
            )

"""What must hold before a fit reads any weights."""

from relex.checkpoints import Checkpoint, TensorInfo, check_same_tensors
from relex.errors import CheckpointError, FactorsError, WindowError
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

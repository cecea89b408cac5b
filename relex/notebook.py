"""What `import relex` gives a notebook beside the run: windows, fits, predictions.

A base is a folder, `toy`, or a repository on the Hub as `NAME` or `NAME@REVISION`; a window is a
folder or `s3://bucket/prefix`, as on the command line.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from relex.checkpoints import open_base
from relex.device import resolve_device
from relex.extrapolation import (
    BUILT_IN,
    Diagnostics,
    Factors,
    diagnose,
    find_method,
    fit_factors,
    open_factors,
    write_predictions,
)
from relex.parts import find_part
from relex.storage import S3Connection
from relex.window import Window
from relex.window import open_window as open_window_of

Place = str | Path
Device = Literal["auto", "cpu", "cuda"]


def open_window(window: Place, base: Place, connection: S3Connection | None = None) -> Window:
    """The snapshots of a run: a window that relex wrote, or a folder of checkpoints or adapters.

    `connection` says how to reach S3; by default as the AWS configuration does. Raises WindowError,
    CheckpointError or StorageError when there is nothing usable.
    """
    return open_window_of(str(window), connection, open_base(str(base)))


def fit(
    window: Window | Place,
    base: Place,
    out: Place,
    *,
    steps: tuple[int, int] | None = None,
    rank: int = 1,
    methods: Sequence[str] = BUILT_IN,
    device: Device = "auto",
) -> Factors:
    """Fit a window and keep in the new folder `out` what `methods` need.

    `steps` are the first and last step to use; all by default. Raises InputError when `out` exists
    or there is no such method, and whatever of `window`, `base` and options does not go together.
    """
    opened = open_window(window, base) if isinstance(window, Place) else window
    checkpoint = open_base(str(base))
    return fit_factors(
        opened, checkpoint, Path(out), steps=steps, rank=rank, methods=methods, device=device
    )


def inspect(factors: Factors | Place, targets: Sequence[int] = ()) -> Diagnostics:
    """What a fit tells: whether it forecasts, how well it explains, what is odd."""
    return diagnose(_opened(factors).table, targets)


def predict(
    factors: Factors | Place,
    base: Place,
    step: int,
    method: str = "line",
    part: str = "",
    *,
    out: Place,
    device: Device = "auto",
) -> Path:
    """Write the checkpoint that `method` reaches at `step` to the new folder `out`; returns `out`,
    which `from_pretrained` and vLLM load. Tensors that are not in `part` (`20-29.mlp`; all when it
    is empty) stay at the newest snapshot.

    Raises FactorsError when the method does not go there or was not fitted, or the factors are of
    another base; InputError when `out` exists or there is no such method or part.
    """
    folder, found = Path(out), find_method(method)
    opened, checkpoint = _opened(factors), open_base(str(base))
    write_predictions(
        opened,
        checkpoint,
        {step: folder},
        found,
        resolve_device(device),
        part=find_part(part),
        base_name=str(base),
    )
    return folder


def _opened(factors: Factors | Place) -> Factors:
    return open_factors(Path(factors)) if isinstance(factors, Place) else factors

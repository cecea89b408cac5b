"""The parent's side of a fit in a process of its own, which ends with all memory that it took."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from relex.child_output import LogLine
from relex.children import Child
from relex.extrapolation.factors import Factors, open_factors
from relex.storage import S3Connection
from relex.strict import Strict

WORKER = "relex.extrapolation.fit_worker"


class FitJob(Strict):
    """What to fit; `fit_factors` says what the options are."""

    window: str
    """Folder or S3 address."""

    connection: S3Connection | None
    """How to reach S3."""

    base: str
    """Folder of the base."""

    out: str
    """New folder for the factors."""

    methods: tuple[str, ...]
    memory_bytes: int | None
    device: Literal["auto", "cpu", "cuda"]


def run_fit(job: FitJob, on_progress: Callable[[int, int], None], on_log: LogLine) -> Factors:
    """As `fit_factors` of the job.

    The callbacks are called in this process. Raises as `fit_factors` and `open_window`, and
    StageError when the child died without an error of its own.
    """
    with Child.of_module(WORKER, [], on_log) as child:
        child.send(**job.model_dump(mode="json"))
        for event in child.events():
            on_progress(event["num_done"], event["num_total"])
    return open_factors(Path(job.out))

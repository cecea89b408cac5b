"""Fits a part of the tensors on a node of a cluster and publishes it:
`python -m relex.extrapolation.part_worker`, the job on its input."""

import shutil
import sys

from relex.checkpoints import Checkpoint, base_here, check_digest
from relex.child_side import child_main, emit
from relex.device import Device
from relex.extrapolation.factors import KIND
from relex.extrapolation.fit import fit_factors, fit_inputs
from relex.extrapolation.parts import Part
from relex.home import make_home, own_folder
from relex.storage import S3Connection, open_store
from relex.storage.manifest import publish_folder
from relex.strict import Strict
from relex.window import open_window


class PartJob(Strict):
    """One part of a fit; `fit_factors` says what the options are."""

    window: str
    connection: S3Connection
    base: str
    """`toy`, a folder on the node or `NAME@REVISION`."""

    base_digest: str

    out: str
    """Address of the part's factors."""

    methods: tuple[str, ...]
    part: Part
    memory_bytes: int | None
    device: Device


def fit_part(job: PartJob) -> None:
    """Raises as `fit_factors`, and StorageError when the part cannot be published."""
    folder = base_here(job.base)
    check_digest(folder, job.base_digest)
    base = Checkpoint(folder)
    window = open_window(job.window, job.connection, base)
    work = own_folder(make_home().node / "parts")
    fit_factors(
        window,
        base,
        work / "factors",
        methods=job.methods,
        part=job.part,
        memory_bytes=job.memory_bytes,
        device=job.device,
        on_progress=lambda done, total: emit("progress", num_done=done, num_total=total),
    )
    inputs = fit_inputs(window, base, window.steps, methods=job.methods, part=job.part)
    publish_folder(open_store(job.out, job.connection), work / "factors", KIND, inputs)
    shutil.rmtree(work)


def main() -> None:
    fit_part(PartJob.model_validate_json(sys.stdin.readline()))


if __name__ == "__main__":
    child_main(main, "fit")

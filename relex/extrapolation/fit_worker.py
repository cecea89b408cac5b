"""The child process that fits: `python -m relex.extrapolation.fit_worker`, the job on its input."""

import sys
from pathlib import Path

from relex.allocator import keep_freed_memory
from relex.checkpoints import Checkpoint
from relex.child_side import child_main, emit
from relex.extrapolation.fit import fit_factors
from relex.extrapolation.fit_process import FitJob
from relex.window import open_window


def main() -> None:
    job = FitJob.model_validate_json(sys.stdin.readline())
    keep_freed_memory()
    base = Checkpoint(Path(job.base))
    fit_factors(
        open_window(job.window, job.connection, base),
        base,
        Path(job.out),
        methods=job.methods,
        memory_bytes=job.memory_bytes,
        device=job.device,
        on_progress=lambda done, total: emit("progress", num_done=done, num_total=total),
    )


if __name__ == "__main__":
    child_main(main, "fit")

"""The GPUs of this machine, without loading torch."""

import os
import shutil
import subprocess

from relex.errors import InputError


def visible_gpus() -> list[str]:
    """Names by which CUDA_VISIBLE_DEVICES selects the GPUs that this process may use."""
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        return [name.strip() for name in stated.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    lines = listed.stdout.splitlines() if listed.returncode == 0 else []
    return [str(index) for index, _ in enumerate(line for line in lines if line.startswith("GPU "))]


def gpu_slots() -> list[str]:
    """The GPUs in groups of RELEX_GPUS_PER_RUN (1), each a value of CUDA_VISIBLE_DEVICES.

    Raises InputError when that is no number or the GPUs do not divide by it.
    """
    gpus = visible_gpus()
    stated = os.environ.get("RELEX_GPUS_PER_RUN") or "1"
    if not stated.isdecimal() or int(stated) == 0 or len(gpus) % int(stated):
        raise InputError(
            f"RELEX_GPUS_PER_RUN: {stated!r} does not divide the {len(gpus)} GPU(s) here; give a "
            "number that does"
        )
    size = int(stated)
    return [",".join(gpus[start : start + size]) for start in range(0, len(gpus), size)]

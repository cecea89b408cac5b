"""The GPUs of this machine, without loading torch."""

import os
import shutil
import subprocess


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

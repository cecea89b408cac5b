"""Runs a program and says what it took."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GB = 1e9


@dataclass(frozen=True)
class Measured:
    """One run of one program, whole process."""

    seconds: float
    cpu_seconds: float
    read_gb: float
    """Bytes asked for with read calls, from the cache or the disk."""

    written_gb: float
    peak_gb: float
    """Largest resident memory."""


def run(arguments: Sequence[str], root: Path) -> Measured:
    """Run `python arguments` with `root` on the path; raises when it fails."""
    environment = os.environ | {"PYTHONPATH": str(root)}
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    seconds = time.perf_counter() - start
    # The counts of a process that has ended can be read until it is waited for.
    counts = dict(
        line.split(": ") for line in Path(f"/proc/{child.pid}/io").read_text().splitlines()
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, arguments)
    return Measured(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        read_gb=int(counts["rchar"]) / GB,
        written_gb=int(counts["wchar"]) / GB,
        peak_gb=usage.ru_maxrss * 1024 / GB,
    )


def median(runs: Sequence[Measured]) -> Measured:
    """The median of every figure by itself."""
    return Measured(
        *(
            statistics.median(getattr(one, field) for one in runs)
            for field in Measured.__dataclass_fields__
        )
    )


def forget(folder: Path) -> None:
    """Drop the files of a folder from the page cache, so that the next read is cold."""
    os.sync()
    for path in folder.rglob("*.safetensors"):
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)

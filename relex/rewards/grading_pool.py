"""Compares expressions in processes of their own, each pair within a hard limit of processor time.

A grader is called from threads that end soon, so PR_SET_PDEATHSIG is no use here: it kills the
child when the thread that started it ends. The workers watch their input instead.
"""

import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import LifoQueue

from relex.errors import RewardError

WORKER_FILE = Path(__file__).with_name("grading_worker.py")
MAX_WORKERS = 8
NUM_ATTEMPTS = 2
EQUAL_LINE = "1\n"


class GradingWorker:
    """One process, started when it is first needed and again after it died."""

    def __init__(self, timeout_seconds: float, tolerance: float = 0.0) -> None:
        self._limits = (timeout_seconds, tolerance)
        self._process: subprocess.Popen[str] | None = None

    def equal(self, gold: str, answer: str) -> bool:
        """The verdict, or False when the pair takes longer than the limit.

        A process that died of something else gets a second attempt, because the pair need not be
        the cause (the system may be out of memory). Raises RewardError when none can be started.
        """
        for _ in range(NUM_ATTEMPTS):
            reply = self._ask(gold, answer)
            if reply:
                return reply == EQUAL_LINE
            if self.stop() == -signal.SIGPROF:
                return False
        return False

    def stop(self) -> int | None:
        """End the process, if there is one, and return its status."""
        process, self._process = self._process, None
        return None if process is None else _end(process)

    def _ask(self, gold: str, answer: str) -> str:
        """The reply line; empty when the process died."""
        if self._process is None:
            self._process = _start_process(*self._limits)
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([gold, answer]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._process.stdout.readline()


class GradingPool:
    """Workers that share the pairs of a batch; safe to use from any number of threads."""

    def __init__(self, timeout_seconds: float, tolerance: float = 0.0) -> None:
        """`tolerance`: relative difference up to which two numbers are equal; 0 leaves that to
        math-verify."""
        self.num_workers = min(MAX_WORKERS, os.cpu_count() or 1)
        workers = [GradingWorker(timeout_seconds, tolerance) for _ in range(self.num_workers)]
        # Last in, first out: a small batch starts no more processes than it needs.
        self._idle: LifoQueue[GradingWorker] = LifoQueue()
        for worker in workers:
            self._idle.put(worker)
        # Runs when the pool is dropped and at the end of the program, whichever comes first.
        weakref.finalize(self, _stop_all, workers)

    def equal(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """One verdict for each pair of gold and answer, both as text with math in it."""
        with ThreadPoolExecutor(self.num_workers) as threads:
            return list(threads.map(self.equal_pair, pairs))

    def equal_pair(self, pair: tuple[str, str]) -> bool:
        """The verdict on one pair; it waits for a worker that is free."""
        worker = self._idle.get()
        try:
            return worker.equal(*pair)
        finally:
            self._idle.put(worker)


def _start_process(timeout_seconds: float, tolerance: float) -> subprocess.Popen[str]:
    # -P: relex/rewards must not come before the standard library on its path.
    command = [sys.executable, "-P", str(WORKER_FILE), str(timeout_seconds), str(tolerance)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="ascii"
    )
    assert process.stdout is not None
    if process.stdout.readline() != EQUAL_LINE:
        _end(process)
        raise RewardError(
            "reward math_equality: its grading process fails on 1/2 = 0.5, or at its start; "
            "what it printed says why; install math-verify again"
        )
    return process


def _end(process: subprocess.Popen[str]) -> int:
    """End the process if it still runs; its status tells what it died of before."""
    process.kill()
    status = process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        # What could not be written is still in the pipe's buffer, and close() tries again.
        with suppress(BrokenPipeError):
            pipe.close()
    return status


def _stop_all(workers: Sequence[GradingWorker]) -> None:
    for worker in workers:
        worker.stop()

"""Compares expressions in processes of their own, each pair within a limit of processor time."""

import os
import signal
import sys
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import LifoQueue

from relex.children import Child
from relex.errors import RewardError, StageError
from relex.rewards.process import to_stderr

WORKER_FILE = Path(__file__).with_name("grading_worker.py")
MAX_WORKERS = 8
NUM_ATTEMPTS = 2


class GradingWorker:
    """One process, started when it is first needed and again after it died."""

    def __init__(self, timeout_seconds: float) -> None:
        """`timeout_seconds` of the processor for each pair."""
        self._timeout_seconds = timeout_seconds
        self._child: Child | None = None

    def judge(self, gold: str, answer: str) -> bool:
        """Whether they are equal; they are not when the pair takes longer than the limit.

        A process that died of something else gets a second attempt, because the pair need not be
        the cause (the system may be out of memory). Raises RewardError when none can be started.
        """
        for _ in range(NUM_ATTEMPTS):
            child = self._child = self._child or self._start()
            try:
                child.send(gold=gold, answer=answer)
                return bool(child.receive()["equal"])
            except StageError:
                if self.stop() == -signal.SIGPROF:
                    break
        return False

    def stop(self) -> int | None:
        """End the process, if there is one, and return its status."""
        child, self._child = self._child, None
        if child is None:
            return None
        child.end()
        return child.status

    def _start(self) -> Child:
        # -P: relex/rewards must not come before the standard library on its path.
        command = [sys.executable, "-P", str(WORKER_FILE), str(self._timeout_seconds)]
        child = Child(command, to_stderr)
        try:
            if child.receive()["equal"]:
                return child
        except StageError:
            pass
        child.end()
        raise RewardError(
            "reward math_equality: its grading process fails on 1/2 = 0.5, or at its start; "
            "what it printed says why; install math-verify again"
        )


class GradingPool:
    """Workers that share the pairs of a batch; safe to use from any number of threads."""

    def __init__(self, timeout_seconds: float) -> None:
        self.num_workers = min(MAX_WORKERS, os.cpu_count() or 1)
        workers = [GradingWorker(timeout_seconds) for _ in range(self.num_workers)]
        # Last in, first out: a small batch starts no more processes than it needs.
        self._idle: LifoQueue[GradingWorker] = LifoQueue()
        for worker in workers:
            self._idle.put(worker)
        # Runs when the pool is dropped and at the end of the program, whichever comes first.
        weakref.finalize(self, _stop_all, workers)

    def equal(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each pair of gold and answer is equal, both as text with math in it."""
        with ThreadPoolExecutor(self.num_workers) as threads:
            return list(threads.map(self._judge, pairs))

    def _judge(self, pair: tuple[str, str]) -> bool:
        """The verdict on one pair; it waits for a worker that is free."""
        worker = self._idle.get()
        try:
            return worker.judge(*pair)
        finally:
            self._idle.put(worker)


def _stop_all(workers: Sequence[GradingWorker]) -> None:
    for worker in workers:
        worker.stop()

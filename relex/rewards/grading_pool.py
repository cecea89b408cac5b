"""Grades in processes of their own, each question within a limit of processor time."""

import os
import signal
import sys
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import LifoQueue
from typing import Any

from relex.children import Child
from relex.errors import RewardError, StageError
from relex.rewards.process import to_stderr

Question = Mapping[str, Any]
MAX_WORKERS = 8
NUM_ATTEMPTS = 2


class GradingWorker:
    """One process, started when it is first needed and again after it died."""

    def __init__(self, reward: str, file: Path, timeout_seconds: float) -> None:
        """`file` is what the process runs (`relex.grading_side`), with `timeout_seconds` of the
        processor for each question; `reward` whom it is for, in messages."""
        self._reward, self._file, self._timeout_seconds = reward, file, timeout_seconds
        self._child: Child | None = None

    def judge(self, question: Question) -> float:
        """What it is worth; 0 when it takes longer than the limit.

        A process that died of something else gets a second attempt, because the question need not
        be the cause (the system may be out of memory). Raises RewardError when none can be started.
        """
        for _ in range(NUM_ATTEMPTS):
            child = self._child = self._child or self._start()
            try:
                child.send(**question)
                return float(child.receive()["value"])
            except StageError:
                if self.stop() == -signal.SIGPROF:
                    break
        return 0.0

    def stop(self) -> int | None:
        """End the process, if there is one, and return its status."""
        child, self._child = self._child, None
        if child is None:
            return None
        child.end()
        return child.status

    def _start(self) -> Child:
        # -P: relex/rewards must not come before the standard library on its path.
        command = [sys.executable, "-P", str(self._file), str(self._timeout_seconds)]
        # A value that depends on the order of a set is the same in all of them.
        child = Child(command, to_stderr, {"PYTHONHASHSEED": "0"})
        try:
            if child.receive()["value"] == 1:
                return child
        except StageError:
            pass
        child.end()
        raise RewardError(
            f"reward {self._reward}: its grading process fails on a question that is right, or at "
            "its start; what it printed says why; install what it uses again"
        )


class GradingPool:
    """Workers that share the questions of a batch; safe to use from any number of threads."""

    def __init__(self, reward: str, file: Path, timeout_seconds: float) -> None:
        """As GradingWorker."""
        self.num_workers = min(MAX_WORKERS, os.cpu_count() or 1)
        workers = [GradingWorker(reward, file, timeout_seconds) for _ in range(self.num_workers)]
        # Last in, first out: a small batch starts no more processes than it needs.
        self._idle: LifoQueue[GradingWorker] = LifoQueue()
        for worker in workers:
            self._idle.put(worker)
        # Runs when the pool is dropped and at the end of the program, whichever comes first.
        weakref.finalize(self, _stop_all, workers)

    def values(self, questions: Sequence[Question]) -> list[float]:
        """What each of them is worth."""
        with ThreadPoolExecutor(self.num_workers) as threads:
            return list(threads.map(self._judge, questions))

    def _judge(self, question: Question) -> float:
        """The value of one question; it waits for a worker that is free."""
        worker = self._idle.get()
        try:
            return worker.judge(question)
        finally:
            self._idle.put(worker)


def _stop_all(workers: Sequence[GradingWorker]) -> None:
    for worker in workers:
        worker.stop()

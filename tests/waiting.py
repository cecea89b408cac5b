"""Waiting for what other processes do, for as long as a slow and busy machine needs."""

import time
from collections.abc import Callable, Iterable

import psutil

from tests.processes import is_alive

HANGS_SECONDS = 1500.0
"""Only ends what hangs, in any thread, before pytest's own limit does."""

POLL_SECONDS = 0.05


def wait_until(happened: Callable[[], object], otherwise: str = "it never happened") -> None:
    end = time.monotonic() + HANGS_SECONDS
    while not happened():
        assert time.monotonic() < end, otherwise
        time.sleep(POLL_SECONDS)


def wait_until_gone(processes: Iterable[psutil.Process]) -> None:
    """Return when none of them lives."""
    for process in processes:
        wait_until(lambda process=process: not is_alive(process), f"{process} does not end")

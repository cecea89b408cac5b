"""What a child process does for its parent: it reports events, and leaves nothing behind.

Events are lines of JSON on a descriptor that nothing else writes to. Whatever the child, a library
or a reward prints is a log line, never an event.
"""

import atexit
import ctypes
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from relex.errors import RelexError

EVENTS_VARIABLE = "RELEX_EVENTS"
PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 5.0
"""How long threads and processes may take to end by themselves once the work is done."""
NUM_NAMED = 5
# Python's own helpers, which end with the process that uses them.
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


class _Events:
    """The descriptor, which processes that this one starts or forks do not inherit."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._close)

    def open(self) -> None:
        """Take over what the parent passed, which may have passed through a launcher."""
        if EVENTS_VARIABLE not in os.environ:
            return
        holder, _, number = os.environ.pop(EVENTS_VARIABLE).rpartition("/")
        if holder:
            self._descriptor = os.open(f"/proc/{holder}/fd/{number}", os.O_WRONLY)
        else:
            self._descriptor = int(number)
            os.set_inheritable(self._descriptor, False)

    def has_reader(self) -> bool:
        """Whether the parent, if it passed a descriptor, still lives."""
        if self._descriptor is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, 0)
        return not poll.poll(0)

    def write(self, line: bytes) -> None:
        self.open()
        if self._descriptor is None:
            return
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_EVENTS = _Events()


def emit(event: str, **fields: Any) -> None:
    """Send an event to the parent; nothing happens in a process that has none, such as a fork."""
    _EVENTS.write(json.dumps({"event": event, **fields}).encode() + b"\n")


def pass_events_on() -> None:
    """Called in a launcher: let the programs that it starts report to its own parent."""
    number = os.environ.get(EVENTS_VARIABLE)
    if number is not None:
        os.environ[EVENTS_VARIABLE] = f"{os.getpid()}/{number}"


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def child_main(body: Callable[[], None], name: str = "child process") -> None:
    """Run `body` and report its error to the parent as an event.

    Threads and processes that are left when it is done are named in the log and ended.
    """
    die_with_parent()
    _EVENTS.open()
    if not _EVENTS.has_reader():
        # The parent ended while this process was still importing, before it could ask for that.
        os._exit(1)
    # Registered first, so that it runs last: those that end themselves at exit have done so.
    atexit.register(_end_processes, name)
    try:
        body()
    except (Exception, SystemExit) as error:
        if not isinstance(error, RelexError):
            traceback.print_exc()
        emit("error", type=type(error).__name__, message=str(error))
        sys.exit(1)
    threading.Thread(target=_end_what_is_left, args=[name], daemon=True).start()


def _end_what_is_left(name: str) -> None:
    """The interpreter waits without an end for threads that are no daemons, and for processes."""
    time.sleep(GRACE_SECONDS)
    _end_processes(name)
    threads = [thread for thread in threading.enumerate() if not thread.daemon]
    left = [thread.name for thread in threads if thread is not threading.main_thread()]
    if left:
        _say_left(name, "thread", "threads", left)
        os._exit(0)


def _end_processes(name: str) -> None:
    left = [child for child in psutil.Process().children(recursive=True) if not _is_helper(child)]
    if left:
        _say_left(name, "process", "processes", [_described(process) for process in left])
    for process in left:
        with suppress(psutil.Error):
            process.kill()


def _is_helper(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
        return process.status() == psutil.STATUS_ZOMBIE or any(map(command.__contains__, HELPERS))
    except psutil.Error:
        return True


def _described(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"{' '.join(process.cmdline())[:100]!r}"
    return str(process.pid)


def _say_left(name: str, one: str, many: str, left: list[str]) -> None:
    more = ", ..." if len(left) > NUM_NAMED else ""
    what = f"{len(left)} {one if len(left) == 1 else many}"
    print(
        f"{name}: left {what} behind ({', '.join(left[:NUM_NAMED])}{more}); ended",
        file=sys.stderr,
        flush=True,
    )

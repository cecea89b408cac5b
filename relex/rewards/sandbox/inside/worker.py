"""The process that forks for every program: `python -m inside.worker`.

It never reads a program, a test or an answer: it receives descriptors, which its children read. So
there is nothing in its memory, of which each child has a copy, that a program might look for.
"""

import fcntl
import gc
import importlib
import itertools
import json
import os
import resource
import select
import signal
import site
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from . import confine
from .plain import Line
from .program import read_sources, run_calls, run_scripts, serve_calls
from .tester import run_tests

PRELOADED = """
    bisect collections collections.abc copy datetime decimal fractions functools heapq io itertools
    math operator random re statistics string typing
"""
TRIAL = {
    "seconds": 60,
    "memory_bytes": 512 << 20,
    "file_bytes": 16 << 20,
    "folder_bytes": 32 << 20,
}
"""The most that a program may be given, which a limit of the user may forbid."""
MESSAGE_BYTES = 1 << 16
MOST_DESCRIPTORS = 64
AWAY = 64
TICK_SECONDS = 0.05
PATIENCE = 30
STACK_BYTES = 8 << 20


class Job:
    """The processes of one program, from their start to their end."""

    def __init__(
        self, limits: Mapping[str, int], used_bytes: int, calls: confine.Filter | None
    ) -> None:
        """`used_bytes` are mapped before it starts; `calls` are those of the system that it may
        make, without which it is limited only."""
        self._limits, self._used_bytes, self._calls = limits, used_bytes, calls
        self._folder = None if calls else _temporary_folder()
        self._pids: list[int] = []

    def start(self, body: Callable[[], object], *kept: int) -> None:
        """Run `body` in a process that has only the descriptors `kept`, as 0, 1 and so on."""
        pid = confine.fork_alone() if self._calls else os.fork()
        if pid:
            self._pids.append(pid)
            return
        try:
            self._confine(kept)
            body()
        except BaseException as error:  # of ours; those of a program are caught where it runs
            os.write(2, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(1)

    def _confine(self, kept: tuple[int, ...]) -> None:
        # First out of the way: one must not be written over before it is in its place.
        moved = [fcntl.fcntl(each, fcntl.F_DUPFD, AWAY) for each in kept]
        for place, descriptor in enumerate(moved):
            os.dup2(descriptor, place)
        os.closerange(len(kept), 4 * AWAY)
        confine.limit(self._limits, self._used_bytes)
        os.setsid()
        if self._calls:
            confine.shut_in(self._limits["folder_bytes"], self._calls)
        elif self._folder:
            os.chdir(self._folder.name)
        confine.make_repeatable()

    def wait(self, control: socket.socket) -> dict[str, Any]:
        """Wait until the last process that was started ends, and end the others: what each ended
        with by itself, or None, and what they took too much of: `timeout`, `threads`, `memory` or
        nothing."""
        last = os.pidfd_open(self._pids[-1])
        poll = select.poll()
        poll.register(last, select.POLLIN)
        poll.register(control, select.POLLIN)
        ready, excess, num_idle = [], "", 0
        for num_ticks in itertools.count():
            ready = poll.poll(1000 * TICK_SECONDS)
            if ready or (excess := self._excess(num_ticks, num_idle)):
                break
            num_idle += not any(map(_runs, self._pids))
        os.close(last)
        if control.fileno() in dict(ready):
            # Nothing is sent before the answer, so the other side has ended.
            os._exit(1)
        ends = [_end(pid) for pid in self._pids]
        if self._folder:
            self._folder.cleanup()
        # The kernel kills what has used up its seconds, and where the machine has no memory left.
        killed = [seconds for status, seconds in ends if status == -signal.SIGKILL]
        if killed and not excess:
            excess = "timeout" if max(killed) > self._limits["seconds"] / 2 else "memory"
        return {"statuses": [status for status, _ in ends], "excess": excess}

    def _excess(self, num_ticks: int, num_idle: int) -> str:
        """Threads, which the kernel does not count for root; or time, of which only that counts in
        which none of them ran or waited for a processor: a slow machine is not the program's fault,
        a program that sleeps is. There is an end to waiting for a processor, too, which a program
        could arrange for."""
        most = self._limits["seconds"] / TICK_SECONDS
        if max(map(_num_threads, self._pids)) > confine.NUM_THREADS:
            return "threads"
        return "timeout" if num_idle >= most or num_ticks >= PATIENCE * most else ""


def _temporary_folder() -> Any:
    # Imported here because it brings libraries that each fork in a sandbox would copy for nothing.
    from tempfile import TemporaryDirectory

    return TemporaryDirectory(ignore_cleanup_errors=True)


def _be_first_to_end() -> None:
    """Where the machine's memory runs out, the kernel ends this process and its children before any
    other, and of these the one that has most."""
    file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(file, b"1000")
    os.close(file)


def _end(pid: int) -> tuple[int | None, float]:
    """What a process ended with, None where it had to be killed; and its seconds of a processor."""
    ending = os.pidfd_open(pid)
    ended, _, _ = select.select([ending], [], [], TICK_SECONDS)
    os.close(ending)
    with suppress(ProcessLookupError):
        # Of its group, where it has no namespace that ends with it.
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status) if ended else None, used.ru_utime + used.ru_stime


def _used_bytes() -> int:
    """What this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _num_threads(pid: int) -> int:
    with suppress(OSError):
        # Linux counts those in the links of this folder, so that it need not be read.
        return os.stat(f"/proc/{pid}/task").st_nlink - 2
    return 0


def _runs(pid: int) -> bool:
    """Whether a thread of a process runs, or waits for a processor or a disk."""
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            if thread.read_text().rpartition(") ")[2][0] in "RD":
                return True
    return False


def serve(is_alone: bool) -> NoReturn:
    """Do what comes by the socket that is descriptor 0: a message with limits and which of `STARTS`
    is meant, and the descriptors that this takes. Each is answered by what `Job.wait` gives."""
    control = socket.socket(fileno=os.dup(0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    calls = confine.allowed_calls() if is_alone else None
    used_bytes = _used_bytes()
    _try(Job(TRIAL, used_bytes, calls), control, nowhere)
    control.send(b"{}")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES, MOST_DESCRIPTORS)
        if not message:
            sys.exit()
        asked = json.loads(message)
        if asked["needs_numpy"]:
            _load_numpy()
            used_bytes = _used_bytes()
        job = Job(asked["limits"], used_bytes, calls)
        STARTS[asked["kind"]](job, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(json.dumps(job.wait(control)).encode())


def _try(job: Job, control: socket.socket, nowhere: int) -> None:
    """Where a worker starts, a program may still not: AppArmor takes the capabilities away."""
    job.start(lambda: os._exit(0), nowhere, 1, 2)
    if job.wait(control)["statuses"] != [0]:
        sys.exit(1)


def _start_runs(job: Job, source: int, *files: int) -> None:
    """One process for all runs of a program: files are the inputs, errors, good ends, outputs."""
    num_runs = len(files) // 2 - 1
    given, (said, good, *printed) = files[:num_runs], files[num_runs:]
    kept = (given[0], printed[0], said, good, source)
    runs = [(len(kept) + n, len(kept) + num_runs + n) for n in range(num_runs)]
    job.start(lambda: run_scripts(read(4), runs, 3), *kept, *given, *printed)


def _start_reading(job: Job, sources: int, results: int) -> None:
    """A process that is given several programs and runs none."""
    null = os.open(os.devnull, os.O_RDWR)
    kept = (null, null, null, results, sources)
    job.start(lambda: read_sources(json.loads(read(4)), 3), *kept)
    os.close(null)


def _start_calls(job: Job, source: int, calls: int, results: int) -> None:
    """A process for the program, which is given all calls."""
    null = os.open(os.devnull, os.O_RDWR)
    kept = (null, null, null, results, source, calls)
    job.start(lambda: run_calls(read(4), json.loads(read(5)), 3), *kept)
    os.close(null)


def _start_tests(job: Job, source: int, tests: int, verdicts: int) -> None:
    """A process for the program and one for its tests, with a line between them."""
    program_end, tests_end = (end.detach() for end in socket.socketpair())
    # Each has its own: locks and flags of an open file are those of all that share it.
    null, other_null = (os.open(os.devnull, os.O_RDWR) for _ in range(2))
    job.start(lambda: serve_calls(read(3), Line(4)), null, null, null, source, program_end)
    job.start(
        lambda: run_tests(json.loads(read(3)), Line(4), 5),
        *(other_null, other_null, other_null, tests, tests_end, verdicts),
    )
    for descriptor in (program_end, tests_end, null, other_null):
        os.close(descriptor)


STARTS: Mapping[str, Callable[..., None]] = {
    "reading": _start_reading,
    "runs": _start_runs,
    "calls": _start_calls,
    "tests": _start_tests,
}


def _load_numpy() -> None:
    """From now on in all children: it is dear to import in each, and few programs need it."""
    if "numpy" not in sys.modules:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a fork has one thread only
        with suppress(ImportError):
            importlib.import_module("numpy.random")
        os.environ.clear()


def read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def main(is_alone: bool) -> None:
    os.environ.clear()
    _be_first_to_end()
    for name in PRELOADED.split():
        with suppress(ImportError):
            importlib.import_module(name)
    # Else that of `ulimit -s`, which some have at the whole memory of a program.
    threading.stack_size(STACK_BYTES)
    site.setquit()  # `exit` and `quit`, which many programs end with
    site.sethelper()
    # Time bounds what long numbers cost; benchmarks have some.
    sys.set_int_max_str_digits(0)
    # Children share the memory of what is there now as long as nothing counts references in it.
    gc.collect()
    gc.freeze()
    serve(is_alone)


if __name__ == "__main__":
    way, *packages = sys.argv[1:]
    sys.path.extend(packages)
    try:
        main(is_alone=way == "alone")
    except OSError as error:
        sys.exit(str(error))

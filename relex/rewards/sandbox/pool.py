"""Workers in the sandbox that share the programs of a batch, as seen from outside."""

import json
import os
import signal
import socket
import subprocess
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from queue import LifoQueue
from tempfile import TemporaryFile
from typing import IO, Any, Literal, TypeVar

from relex.children import lasting_thread
from relex.errors import RewardError
from relex.rewards.sandbox.bubblewrap import ENVIRONMENT, INSIDE, in_sandbox, without_sandbox
from relex.visible import one_line

Kind = Literal["bubblewrap", "none"]
COMMANDS = {"bubblewrap": in_sandbox, "none": without_sandbox}
NUM_ATTEMPTS = 2
WORKERS_PER_PROCESSOR = 2
"""About half of a program's time Linux is making and ending its namespaces, in which it waits."""
MOST_RUNS = 16
NUMPY = "numpy"
END_SECONDS = 10.0
END_BYTES = 1000
MESSAGE_BYTES = 1 << 16
REASON_CHARACTERS = 200
CURE = (
    "install libseccomp2, and allow user namespaces and mounts in them (sysctl "
    "kernel.unprivileged_userns_clone=1; in a container --security-opt seccomp=unconfined, "
    "apparmor=unconfined and systempaths=unconfined), or name code_tests_without_sandbox, in "
    "which programs can do whatever you can"
)

Answer = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Limits:
    """What one process of a program may use. It is one process, which may have threads."""

    seconds: int = 2
    """Of the processor; and as many in which it neither runs nor waits for the processor."""

    memory_bytes: int = 512 << 20
    """Mapped, beyond what an idle Python has."""

    file_bytes: int = 16 << 20
    """Of the output, of the errors, and of each file."""

    folder_bytes: int = 32 << 20
    """Of its folder, which is kept in memory."""


@dataclass(frozen=True)
class Ended:
    """How a program came to its end, and what it left."""

    reason: str
    """Empty for a good end; else `timeout`, `threads`, `memory`, `exception: ...` or `ended by
    SIGSEGV`."""

    output: bytes


class Worker:
    """One worker, started when it is first needed and again after it died."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def no_python(self, sources: Sequence[str]) -> list[str]:
        """Why each program is no Python, empty where it is; none of them is run. One that ends its
        process in being read counts as Python: it has its own to fail in."""
        found: list[str] = []
        while len(found) < len(sources):
            ended = self._asked("reading", [json.dumps(sources[len(found) :])], Limits())
            found += map(json.loads, ended.output.split(b"\n")[:-1] or [b'""'])
        return found

    def script(self, source: str, given: str, limits: Limits) -> Ended:
        """Run a program with `given` as its standard input."""
        (ended,) = self.scripts(source, [given], limits)
        return ended

    def scripts(self, source: str, givens: Sequence[str], limits: Limits) -> list[Ended]:
        """Run a program with each of `givens`, at most MOST_RUNS, in one process, within the limits
        of one run. The list ends with the first run that ended its process, well or not."""
        limits = replace(limits, file_bytes=limits.file_bytes // len(givens))
        with ExitStack() as files:
            inputs = [_file(files, text) for text in (source, *givens)]
            said, good, *printed = outputs = [_file(files) for _ in (0, 0, *givens)]
            answer = self._ask("runs", limits, inputs, outputs, NUMPY in source)
            said_end = max(0, os.fstat(said).st_size - END_BYTES)
            reason = _reason(answer, os.pread(said, END_BYTES, said_end))
            # The program could write there, too; how the last run ended is the kernel's word.
            num_good = min(os.fstat(good).st_size, len(givens) - 1)
            return [
                Ended("" if number < num_good else reason, os.pread(file, limits.file_bytes, 0))
                for number, file in enumerate(printed[: num_good + 1])
            ]

    def calls(self, source: str, calls: Sequence[Any], limits: Limits) -> Ended:
        """Call functions of a program, each `[name, arguments]`; the output is a line of JSON for
        each, `{"value": data}` (`inside/plain.py`) or `{"raised": [type, text]}`."""
        return self._asked("calls", [source, json.dumps(calls)], limits)

    def tests(self, source: str, tests: Mapping[str, Any], limits: Limits) -> Ended:
        """Run `tests` (`inside/tester.py`) on a program; the output is the verdicts."""
        return self._asked("tests", [source, json.dumps(tests)], limits)

    def _asked(self, kind: str, texts: Sequence[str], limits: Limits) -> Ended:
        with ExitStack() as files:
            inputs, output = [_file(files, text) for text in texts], _file(files)
            # What is read and not run needs no library.
            needs_numpy = kind != "reading" and any(NUMPY in text for text in texts)
            answer = self._ask(kind, limits, inputs, [output], needs_numpy)
            return Ended(_reason(answer, b""), os.pread(output, limits.file_bytes, 0))

    def stop(self) -> None:
        """End the worker, if there is one, and the program that it runs."""
        if self._process is not None and self._control is not None:
            # It ends by itself when nobody can ask it any more.
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
            self._control.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
            self._process.kill()
            self._process.wait()
        self._process = self._control = None

    def _ask(
        self,
        kind: str,
        limits: Limits,
        inputs: Sequence[int],
        outputs: Sequence[int],
        needs_numpy: bool,
    ) -> Answer | None:
        """What the worker says of a program; None where two workers in turn ended on it. Raises
        RewardError where none can be started."""
        asked = {"kind": kind, "limits": asdict(limits), "needs_numpy": needs_numpy}
        request = json.dumps(asked).encode()
        for _ in range(NUM_ATTEMPTS):
            control = self._control or self._start()
            with suppress(OSError):
                socket.send_fds(control, [request], [*inputs, *outputs])
                if answer := control.recv(MESSAGE_BYTES):
                    return dict(json.loads(answer))
            self.stop()
            _rewind(inputs, outputs)
        return None

    def _start(self) -> socket.socket:
        self._control, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_end, TemporaryFile() as said:
            # The kernel ends bubblewrap with the thread that started it.
            start = lasting_thread(os.getpid()).submit(
                _popen, self._command, its_end.fileno(), said
            )
            self._process = start.result()
            its_end.close()
            if self._control.recv(MESSAGE_BYTES):
                return self._control
            self.stop()
            said.seek(0)
            found = one_line(said.read().decode("utf-8", "replace"), REASON_CHARACTERS)
        raise RewardError(f"reward code_tests: its sandbox does not start ({found}); {CURE}")


class Sandbox:
    """Workers that share the programs of a batch; safe to use from any number of threads."""

    def __init__(self, kind: Kind = "bubblewrap") -> None:
        """Raises RewardError where what it needs is not installed."""
        command = COMMANDS[kind]()
        self._num_workers = WORKERS_PER_PROCESSOR * len(os.sched_getaffinity(0))
        workers = [Worker(command) for _ in range(self._num_workers)]
        # Last in, first out: a small batch starts no more workers than it needs.
        self._idle: LifoQueue[Worker] = LifoQueue()
        for worker in workers:
            self._idle.put(worker)
        # Runs when it is dropped and at the end of the program, whichever comes first.
        self.close = weakref.finalize(self, _stop_all, workers)

    def map(self, work: Callable[[Worker, T], R], tasks: Iterable[T]) -> list[R]:
        """`work` on every task, each with a worker that is free, in the order of the tasks."""

        def with_worker(task: T) -> R:
            worker = self._idle.get()
            try:
                return work(worker, task)
            finally:
                self._idle.put(worker)

        with ThreadPoolExecutor(self._num_workers) as threads:
            return list(threads.map(with_worker, tasks))


def _popen(command: Sequence[str], control: int, said: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=control,
        stdout=said,
        stderr=said,
        env=ENVIRONMENT,
        cwd=INSIDE.parent,
        start_new_session=True,
    )


def _stop_all(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.stop()


def _file(files: ExitStack, text: str = "") -> int:
    """A file in memory, which the sandbox is given open."""
    file = os.memfd_create("program")
    files.callback(os.close, file)
    if text:
        os.write(file, text.encode("utf-8", "surrogatepass"))
        os.lseek(file, 0, os.SEEK_SET)
    return file


def _rewind(inputs: Sequence[int], outputs: Sequence[int]) -> None:
    """Files as they were before a worker ended on them."""
    for file in (*inputs, *outputs):
        os.lseek(file, 0, os.SEEK_SET)
    for file in outputs:
        os.ftruncate(file, 0)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # those for real time have none
        return f"signal {number}"


def _reason(answer: Answer | None, said: bytes) -> str:
    """Why a program came to no good end; what it said itself is believed for this only."""
    if answer is None:
        return "ended the sandbox"
    if answer["excess"]:
        return str(answer["excess"])
    status = answer["statuses"][0] or 0
    if status < 0:
        return f"ended by {_signal_name(-status)}"
    last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
    if status and last.startswith("MemoryError"):
        return "memory"
    return f"exception: {one_line(last, REASON_CHARACTERS)}" if status else ""

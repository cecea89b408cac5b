"""Child processes that live no longer than their parent.

Training, generation, grading and the rewards of users each run in a process of their own, because
that is the only certain way to give GPU memory back, and to be safe from what foreign code does. A
child reports events (`relex.child_side`); whatever stands on its standard output and error are log
lines.
"""

import io
import json
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self

from relex import errors
from relex.child_output import ChildOutput, Event, LogLine
from relex.child_side import EVENTS_VARIABLE, die_with_parent, pass_events_on
from relex.errors import RelexError, StageError

GRACE_SECONDS = 10.0
POLL_SECONDS = 0.05
LAST_LINES = 20
ENVIRONMENT = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONUNBUFFERED": "1",
    # Threads that spin while they wait make everything beside them many times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
}


class AnyChild(ABC):
    """A child as its parent sees it, wherever it runs; a context manager, which ends it."""

    @abstractmethod
    def send(self, **message: Any) -> None:
        """Write one JSON line to the child's standard input; raises like `receive`."""

    def events(self, timeout_seconds: float | None = None) -> Iterator[Event]:
        """Events until the child ends.

        Raises the child's own error when it reported one, StageError when it died without,
        TimeoutError when that takes longer than `timeout_seconds`.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while (event := self._next(deadline)) is not None:
            if event["event"] == "error":
                raise _error_of(event)
            yield event

    def receive(self, timeout_seconds: float | None = None) -> Event:
        """The next event; raises like `events`, and StageError when the child has ended."""
        for event in self.events(timeout_seconds):
            return event
        raise self._died()

    def finish(self, timeout_seconds: float) -> None:
        """Let the child come to its end, for no longer than that: nothing will be sent any more."""
        self.close_input()
        with suppress(RelexError, TimeoutError):
            list(self.events(timeout_seconds))
        self.end()

    @abstractmethod
    def close_input(self) -> None:
        """Say that nothing will be sent any more."""

    @abstractmethod
    def end(self) -> None:
        """End it, and what it started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @abstractmethod
    def _next(self, deadline: float | None) -> Event | None:
        """Wait for an event; None when the child has ended well. Raises like `events`, but for the
        child's own error."""

    @abstractmethod
    def _died(self) -> StageError:
        """What to raise when it has ended and should not have."""


class Child(AnyChild):
    """A running child process of this machine."""

    def __init__(
        self, command: Sequence[str], on_log: LogLine, env: Mapping[str, str] = {}
    ) -> None:
        """Start `command`, which reports events as `relex.child_side` does; `on_log` receives its
        log lines one by one."""
        self.name = " ".join(command)
        self._on_log = on_log
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        events, events_end = os.pipe()
        try:
            self._process = _started(command, {**os.environ, **ENVIRONMENT, **env}, events_end)
        finally:
            os.close(events_end)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin = io.TextIOWrapper(self._process.stdin, encoding="utf-8")
        self._output = ChildOutput(self._process.stdout, os.fdopen(events, "rb"), self._log)

    @classmethod
    def of_module(
        cls, module: str, arguments: Sequence[str], on_log: LogLine, env: Mapping[str, str] = {}
    ) -> Self:
        """Start `python -m module arguments`."""
        return cls([sys.executable, "-m", module, *arguments], on_log, env)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """What the process ended with, as in `subprocess`; None while it runs."""
        return self._process.poll()

    @property
    def last_line(self) -> str:
        """The last line of its log, or nothing."""
        return self._last_lines[-1] if self._last_lines else ""

    def send(self, **message: Any) -> None:
        try:
            self.write(message)
        except BrokenPipeError:
            # It may have said why it ended.
            list(self.events())
            raise self._died() from None

    def write(self, message: Mapping[str, Any]) -> None:
        """As `send`, but leaves it to who waits for events to find out why the child is dead:
        raises BrokenPipeError."""
        self._stdin.write(json.dumps(message) + "\n")
        self._stdin.flush()

    def close_input(self) -> None:
        with suppress(BrokenPipeError):
            self._stdin.close()

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        # What it has started itself and left running.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # What the child did not read any more is still in the buffer, and close() tries again.
        self.close_input()
        self._output.close()

    def _next(self, deadline: float | None) -> Event | None:
        if self._has_more(deadline):
            return self._output.inbox.popleft()
        if self._process.wait() != 0:
            raise self._died()
        return None

    def _has_more(self, deadline: float | None) -> bool:
        """Wait for an event; False when the child has ended."""
        while not self._output.inbox:
            # It may close the descriptor long before it ends.
            waits = None if self._output.has_events else POLL_SECONDS
            if waits is not None and self._process.poll() is not None:
                self._output.take_in_rest()
                return False
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                waits = left if waits is None else min(waits, left)
            self._output.take_in(waits)
        return True

    def _log(self, line: str) -> None:
        self._last_lines.append(line)
        self._on_log(line)

    def _died(self) -> StageError:
        status = self._process.wait()
        self._output.take_in_rest()
        tail = "\n".join(self._last_lines)
        return StageError(f"{self.name}: ended with status {status}; its last lines:\n{tail}")


class Start(Protocol):
    """Starts `python -m module arguments`, on whatever machine it is."""

    def __call__(
        self,
        module: str,
        arguments: Sequence[str],
        on_log: LogLine,
        env: Mapping[str, str] = {},
        folder: Path | None = None,
    ) -> AnyChild:
        """`folder`: a flat one, through which parent and child exchange files."""


def start_here(
    module: str,
    arguments: Sequence[str],
    on_log: LogLine,
    env: Mapping[str, str] = {},
    folder: Path | None = None,
) -> AnyChild:
    """On this machine, where the folder is the same for both."""
    return Child.of_module(module, arguments, on_log, env)


@cache
def lasting_thread(pid: int) -> ThreadPoolExecutor:
    """The kernel ends a child with the thread that started it, so that must be one that lasts."""
    return ThreadPoolExecutor(1)


def _started(
    command: Sequence[str], environment: Mapping[str, str], events_end: int
) -> subprocess.Popen[bytes]:
    """The process, the leader of a group of its own, by which all that it starts is found."""
    start = lasting_thread(os.getpid()).submit(
        subprocess.Popen,
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment, EVENTS_VARIABLE: str(events_end)},
        pass_fds=[events_end],
        start_new_session=True,
    )
    return start.result()


def _error_of(event: Event) -> RelexError:
    kind = getattr(errors, event["type"], None)
    if isinstance(kind, type) and issubclass(kind, RelexError):
        return kind(event["message"])
    return StageError(f"{event['type']}: {event['message']}")


def main(arguments: Sequence[str]) -> None:
    """Become the program `arguments[1:]`, which then dies with the process `arguments[0]`."""
    die_with_parent()
    pass_events_on()
    if os.getppid() == int(arguments[0]):
        os.execvp(arguments[1], list(arguments[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])

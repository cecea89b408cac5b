"""Child processes that live no longer than their parent.

Training and generation each run in a process of their own, because that is the only certain way to
give GPU memory back. A child talks by lines on its standard output: what follows a record
separator is an event (JSON), everything else is a log line.
"""

import ctypes
import io
import json
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from relex import errors
from relex.errors import RelexError, StageError

EVENT_MARK = "\x1e"
PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 10.0
LAST_LINES = 20
TERMINAL_CODE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07)")
ENVIRONMENT = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONUNBUFFERED": "1",
    # Threads that spin while they wait make everything beside them many times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
}

Event = dict[str, Any]
LogLine = Callable[[str], None]


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def emit(event: str, **fields: Any) -> None:
    """Called in a child: send an event to the parent."""
    line = EVENT_MARK + json.dumps({"event": event, **fields})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def child_main(body: Callable[[], None]) -> None:
    """Called in a child: run `body` and report its error to the parent as an event."""
    die_with_parent()
    try:
        body()
    except Exception as error:
        if not isinstance(error, RelexError):
            traceback.print_exc()
        emit("error", type=type(error).__name__, message=str(error))
        sys.exit(1)


def as_seen(text: str) -> str:
    """What a terminal shows in the end of a line: no colours, of a progress bar its last state."""
    return TERMINAL_CODE.sub("", text).rstrip().rpartition("\r")[2]


class Child:
    """A running child process; use it as a context manager, which kills what is left of it."""

    def __init__(
        self, module: str, arguments: Sequence[str], on_log: LogLine, env: Mapping[str, str] = {}
    ) -> None:
        """Start `python -m module arguments`; `on_log` receives its log lines one by one."""
        self._start([sys.executable, "-m", module, *arguments], on_log, env)

    @classmethod
    def of_command(
        cls, command: Sequence[str], on_log: LogLine, env: Mapping[str, str] = {}
    ) -> Self:
        """Start another command whose standard output follows the same convention."""
        child = cls.__new__(cls)
        child._start(command, on_log, env)
        return child

    def _start(self, command: Sequence[str], on_log: LogLine, env: Mapping[str, str]) -> None:
        self.name = " ".join(command)
        self._on_log = on_log
        self._last_lines: list[str] = []
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT, **env},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin = io.TextIOWrapper(self._process.stdin, encoding="utf-8")
        # A lone carriage return begins a line of a terminal anew; it does not end one.
        self._stdout = io.TextIOWrapper(
            self._process.stdout, encoding="utf-8", errors="replace", newline="\n"
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, **message: Any) -> None:
        """Write one JSON line to the child's standard input."""
        try:
            self._stdin.write(json.dumps(message) + "\n")
            self._stdin.flush()
        except BrokenPipeError:
            self._raise_died()

    def events(self) -> Iterator[Event]:
        """Events until the child closes its output.

        Raises the child's own error when it reported one, StageError when it died without.
        """
        for line in self._stdout:
            # A library may have left a line of its own unfinished before the event.
            text, mark, payload = line.partition(EVENT_MARK)
            self._log(as_seen(text))
            if not mark:
                continue
            event = json.loads(payload)
            if event["event"] == "error":
                raise _error_of(event)
            yield event
        if self._process.wait() != 0:
            self._raise_died()

    def receive(self) -> Event:
        """The next event; raises like `events`, and StageError at the end of the output."""
        for event in self.events():
            return event
        self._raise_died()
        raise AssertionError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        # What the child did not read any more is still in the buffer, and close() tries again.
        with suppress(BrokenPipeError):
            self._stdin.close()
        self._stdout.close()

    def _log(self, line: str) -> None:
        if line:
            self._last_lines = [*self._last_lines[1 - LAST_LINES :], line]
            self._on_log(line)

    def _raise_died(self) -> None:
        status = self._process.wait()
        tail = "\n".join(self._last_lines)
        raise StageError(f"{self.name}: ended with status {status}; its last lines:\n{tail}")


def _error_of(event: Event) -> RelexError:
    kind = getattr(errors, event["type"], None)
    if isinstance(kind, type) and issubclass(kind, RelexError):
        return kind(event["message"])
    return StageError(f"{event['type']}: {event['message']}")


def main(arguments: Sequence[str]) -> None:
    """Become the program `arguments[1:]`, which then dies with the process `arguments[0]`."""
    die_with_parent()
    if os.getppid() == int(arguments[0]):
        os.execvp(arguments[1], list(arguments[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])

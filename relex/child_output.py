"""What a child process writes, taken in by its parent: log lines and events, apart from the start.

Anything may be printed: bytes that are no text, megabytes without an end of line, progress bars.
"""

import json
import os
import re
import selectors
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

PIECE_BYTES = 1 << 16
KEPT_BYTES = 1 << 16
"""Of a line without an end only so much is kept, the newest."""

SHOWN_CHARACTERS = 4000
TERMINAL_CODE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*\x07)")
CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

Event = dict[str, Any]
LogLine = Callable[[str], None]


class ChildOutput:
    """Two pipes, read as they fill, so that the child never waits for a reader of the other."""

    def __init__(self, log: IO[bytes], events: IO[bytes], on_log: LogLine) -> None:
        """`on_log` receives the lines of `log` one by one; `events` holds one in each line."""
        self.inbox: deque[Event] = deque()
        self._log, self._events, self._on_log = log, events, on_log
        self._unfinished = {log: b"", events: b""}
        self._open = selectors.DefaultSelector()
        for pipe in (log, events):
            os.set_blocking(pipe.fileno(), False)
            self._open.register(pipe, selectors.EVENT_READ)

    @property
    def has_events(self) -> bool:
        """Whether the descriptor of the events is still open on the other side."""
        return self._events in self._open.get_map()

    def take_in(self, timeout_seconds: float | None) -> None:
        """Read what is there, and wait for it no longer than that."""
        ready = {key.fileobj for key, _ in self._open.select(timeout_seconds)}
        # What was printed before an event is said before it.
        for pipe in (self._log, self._events):
            if pipe in ready:
                self._read(pipe)

    def take_in_rest(self) -> None:
        """Read what an ended child left. Its own children may still hold the log open."""
        while self._log in self._open.get_map() and self._open.select(0):
            self.take_in(0)
        if self._unfinished[self._log]:
            self._take(self._log, b"\n")

    def close(self) -> None:
        for each in (self._open, self._log, self._events):
            each.close()

    def _read(self, pipe: IO[bytes]) -> None:
        piece = os.read(pipe.fileno(), PIECE_BYTES)
        if piece:
            self._take(pipe, piece)
        else:
            self._open.unregister(pipe)

    def _take(self, pipe: IO[bytes], piece: bytes) -> None:
        *lines, rest = (self._unfinished[pipe] + piece).split(b"\n")
        self._unfinished[pipe] = rest if pipe is self._events else rest[-KEPT_BYTES:]
        for line in lines:
            if pipe is self._log:
                self._say(line)
            else:
                self._receive(line)

    def _receive(self, line: bytes) -> None:
        event = None
        with suppress(ValueError):
            event = json.loads(line)
        if isinstance(event, dict) and "event" in event:
            self.inbox.append(event)
        else:
            self._say(line)

    def _say(self, line: bytes) -> None:
        seen = as_seen(line.decode("utf-8", "replace"))
        if seen:
            self._on_log(seen)


def as_seen(text: str) -> str:
    """What a terminal shows in the end of a line: no colours, of a progress bar its last state. A
    line that is longer than a page is cut."""
    last = TERMINAL_CODE.sub("", text).rstrip().rpartition("\r")[2]
    plain = CONTROL_CHARACTER.sub("", last)
    return plain if len(plain) <= SHOWN_CHARACTERS else f"{plain[:SHOWN_CHARACTERS]}..."

"""A stage of a run: its events, its wall time, its limit, and its log beside the results."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from relex.config import Stage
from relex.errors import RelexError, StageError
from relex.run.events import Event, Line, StageEnded, StageProgress, StageStarted
from relex.run.places import LOGS, Run

LINE = "%(asctime)s %(levelname)s %(message)s"
LEVELS = {"line": logging.INFO, "detail": logging.INFO, "warning": logging.WARNING}
SECONDS_PER_MINUTE = 60.0


class Progress:
    """Tells how far a stage is."""

    def __init__(self, run: Run, name: Stage) -> None:
        self._run, self._name, self._num_done = run, name, 0

    def update(self, done: int, note: str = "") -> None:
        """`done` units of its work are finished."""
        self._num_done = done
        self._run.emit(StageProgress(self._name, done, note))

    def note(self, note: str) -> None:
        """What happens within the unit that is being worked on."""
        self.update(self._num_done, note)

    def advance(self) -> None:
        """One more unit is finished."""
        self.update(self._num_done + 1)


@contextmanager
def stage(run: Run, name: Stage, title: str, total: int = 0) -> Iterator[Progress]:
    """Do a stage in the block, which must run in the main thread when the stage has a limit.

    Raises StageError when it takes longer than the recipe's limit.
    """
    started = time.monotonic()
    run.emit(StageStarted(name, title, total))
    try:
        with kept_log(run, name), limited(run, name):
            yield Progress(run, name)
    except BaseException as error:
        # What ended the stage matters more than a record that cannot be kept too.
        with suppress(RelexError):
            _end(run, name, started, error)
        raise
    _end(run, name, started)


def _end(run: Run, name: Stage, started: float, error: BaseException | None = None) -> None:
    seconds = time.monotonic() - started
    run.emit(StageEnded(name, seconds, error))
    run.add_seconds(name, seconds)


@contextmanager
def kept_log(run: Run, name: Stage) -> Iterator[None]:
    """Write what is said in the block to `logs/<name>.log` of the run, after what earlier attempts
    wrote, also when the block fails."""
    key = f"{LOGS}/{name}.log"
    path = run.work / key
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() and run.store.size(key) is not None:
        run.store.get_file(key, path)
    try:
        with _written_to(run, logging.FileHandler(path, encoding="utf-8")):
            yield
    except BaseException:
        # What ended the stage matters more than a log that cannot be kept too.
        with suppress(RelexError):
            run.store.put_file(key, path)
        raise
    run.store.put_file(key, path)


@contextmanager
def _written_to(run: Run, handler: logging.Handler) -> Iterator[None]:
    handler.setFormatter(logging.Formatter(LINE))

    def write(event: Event) -> None:
        if isinstance(event, Line):
            level = LEVELS[event.level]
            handler.emit(logging.LogRecord("relex", level, "", 0, event.text, None, None))

    run.listeners.append(write)
    try:
        yield
    finally:
        run.listeners.remove(write)
        handler.close()


@contextmanager
def limited(run: Run, name: Stage) -> Iterator[None]:
    """Raise StageError in the block when it takes longer than the recipe allows.

    A timer signal interrupts whatever the block waits for, as a cancellation does; the children's
    own contexts then end them.
    """
    minutes = run.recipe.limits_minutes.get(name)
    if minutes is None:
        yield
        return

    def on_alarm(signum: int, frame: FrameType | None) -> NoReturn:
        raise StageError(
            f"{name}: took longer than limits_minutes.{name}, {minutes:g}; what is done is kept: "
            f"start it again with a higher limit, or see {run.uri}/{LOGS}/{name}.log for what it "
            "waits for"
        )

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, minutes * SECONDS_PER_MINUTE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

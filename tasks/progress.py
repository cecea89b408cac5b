"""Progress of a stage, in the Prefect page and on the terminal at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogWorker

from tasks.display import current_display

SECONDS_BETWEEN_UPDATES = 2.0
SECONDS_TO_FLUSH = 5.0


def say(line: str) -> None:
    """A line for the person who watches: in the run's log, and on the terminal if there is one."""
    get_run_logger().info(line)
    display = current_display()
    if display is not None:
        display.say(f"  {line}")


def note_line(line: str) -> None:
    """A line for the run's log; also shown where there is no bar on a terminal to tell it."""
    display = current_display()
    if display is None or display.console.is_terminal:
        get_run_logger().info(line)
    else:
        say(line)


class StageProgress:
    """Counts the units of one stage."""

    def __init__(self, title: str, total: int, artifact: UUID) -> None:
        self._total, self._done, self._artifact = total, 0, artifact
        self._updated = time.monotonic()
        self._display = current_display()
        if self._display is not None:
            self._bar = self._display.progress.add_task(title, total=total, note="")

    def update(self, done: int, note: str = "") -> None:
        """Show that `done` of the units are finished; more than were expected count as all."""
        self._done = done = min(done, self._total)
        if self._display is not None:
            self._display.progress.update(self._bar, completed=done, note=note)
        if done >= self._total or time.monotonic() - self._updated > SECONDS_BETWEEN_UPDATES:
            update_progress_artifact(self._artifact, 100 * done / self._total, note or None)
            self._updated = time.monotonic()

    def finish(self) -> None:
        """Show that the stage is done, though it took fewer units than were expected."""
        if self._done == self._total:
            return
        if self._display is not None:
            done = max(self._done, 1)
            self._display.progress.update(self._bar, completed=done, total=done, note="")
        update_progress_artifact(self._artifact, 100.0)


@contextmanager
def stage_progress(key: str, title: str, total: int) -> Iterator[StageProgress]:
    """A progress artifact with `key`, and a bar on the terminal, for `total` units of work."""
    artifact = create_progress_artifact(0.0, key=key, description=title)
    assert isinstance(artifact, UUID)
    progress = StageProgress(title, total, artifact)
    yield progress
    progress.finish()


def flush_logs() -> None:
    """Send what the run's log still holds, before the server that takes it is stopped."""
    APILogWorker.drain_all(timeout=SECONDS_TO_FLUSH)

"""The Prefect page of a flow run shows what the run says: its log, progress and artifacts."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogWorker

from relex.report import Link
from relex.run.stage import Event, Line, Listener, StageEnded, StageProgress, StageStarted
from relex.visible import visible

PICTURE = re.compile(r"(!\[[^\]]*\])\(([\w.-]+)\)")
SECONDS_BETWEEN_UPDATES = 2.0
SECONDS_TO_FLUSH = 5.0


_watchers: ContextVar[tuple[Listener, ...]] = ContextVar("watchers", default=())


@contextmanager
def watched_by(*listeners: Listener) -> Iterator[None]:
    """Whatever flow runs in the block has these listeners too."""
    token = _watchers.set(listeners)
    try:
        yield
    finally:
        _watchers.reset(token)


def listeners() -> list[Listener]:
    """Those of the flow run that we are in: its page, and who watches it from a terminal."""
    return [Page(), *_watchers.get()]


def say(text: str) -> None:
    """A line from a flow run that is not one of a recipe."""
    for listener in listeners():
        listener(Line(text))


class Page:
    """Listens to a run, in the flow or task that does it."""

    def __init__(self) -> None:
        self._bars: dict[str, ProgressBar] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case Line(text, "warning"):
                get_run_logger().warning(visible(text))
            case Line(text):
                get_run_logger().info(visible(text))
            case StageStarted(stage, title, total) if total:
                self._bars[stage] = ProgressBar(stage, title, total)
            case StageProgress(stage, done, note) if stage in self._bars:
                self._bars[stage].update(done, note)
            case StageEnded(stage, _, None) if stage in self._bars:
                self._bars[stage].finish()


class ProgressBar:
    """A progress artifact, updated not more often than a page can use."""

    def __init__(self, key: str, title: str, total: int) -> None:
        artifact = create_progress_artifact(0.0, key=key, description=title)
        assert isinstance(artifact, UUID)
        self._artifact, self._total = artifact, total
        self._updated = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """More than were expected count as all."""
        done = min(done, self._total)
        if done == self._total or time.monotonic() - self._updated > SECONDS_BETWEEN_UPDATES:
            update_progress_artifact(self._artifact, 100 * done / self._total, note or None)
            self._updated = time.monotonic()

    def finish(self) -> None:
        """All is done, though it may have taken fewer units than were expected."""
        update_progress_artifact(self._artifact, 100.0)


def show_report(report: Path, mlflow_run: Link, place: Callable[[str], str]) -> None:
    """The result as artifacts of the flow run: its Markdown, and where MLflow has it.

    `place` gives the address of a picture that lies beside the report.
    """
    text = PICTURE.sub(
        lambda found: f"{found[1]}({place(found[2])})", report.read_text(encoding="utf-8")
    )
    create_markdown_artifact(text, key="report")
    create_link_artifact(mlflow_run.address, mlflow_run.name, key="mlflow-run")


def flush_logs() -> None:
    """Send what the run's log still holds, before the server that takes it is stopped."""
    APILogWorker.drain_all(timeout=SECONDS_TO_FLUSH)

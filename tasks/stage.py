"""A stage of a run: its wall time, its limit, and its log, which is kept beside the results."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Literal, NoReturn

from relex.errors import RelexError, StageError
from tasks.run import Run

Stage = Literal["train", "fit", "validation", "guard", "test", "publish", "report"]
LOGS = "logs"
# Everything that a flow and its tasks say, the lines of their children included.
RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
LINE = "%(asctime)s %(levelname)s %(message)s"
SECONDS_PER_MINUTE = 60.0


@contextmanager
def stage(run: Run, name: Stage) -> Iterator[None]:
    """Do a stage in the block, which must run in the main thread when the stage has a limit.

    Raises StageError when it takes longer than the recipe's limit.
    """
    with run.timed(name), kept_log(run, name), limited(run, name):
        yield


@contextmanager
def kept_log(run: Run, name: Stage) -> Iterator[None]:
    """Write what is logged in the block to `logs/<name>.log` of the run, after what earlier
    attempts wrote, also when the block fails."""
    key = f"{LOGS}/{name}.log"
    path = run.work / key
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() and run.store.size(key) is not None:
        run.store.get_file(key, path)
    try:
        with _written_to(logging.FileHandler(path, encoding="utf-8")):
            yield
    except BaseException:
        # What ended the stage matters more than a log that cannot be kept too.
        with suppress(RelexError):
            run.store.put_file(key, path)
        raise
    run.store.put_file(key, path)


@contextmanager
def _written_to(handler: logging.Handler) -> Iterator[None]:
    handler.setFormatter(logging.Formatter(LINE))
    loggers = [logging.getLogger(name) for name in RUN_LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()


@contextmanager
def limited(run: Run, name: Stage) -> Iterator[None]:
    """Raise StageError in the block when it takes longer than the recipe allows.

    A timer signal interrupts whatever the block waits for, as a cancellation does; the children's
    own contexts then end them.
    """
    minutes: float = getattr(run.recipe.limits, f"{name}_minutes")
    if minutes == 0:
        yield
        return

    def on_alarm(signum: int, frame: FrameType | None) -> NoReturn:
        raise StageError(
            f"{name}: took longer than limits.{name}_minutes, {minutes:g}; what is done is kept: "
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

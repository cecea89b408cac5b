"""What a run says while it works, and a stage of it: its events, wall time, limit and log.

Listeners show and record the events.
"""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Literal, NoReturn

from relex.candidates import Candidate
from relex.config import Stage
from relex.errors import LimitError, RelexError
from relex.evaluation import Answer, Score
from relex.extrapolation import Diagnostics
from relex.selection import Decision
from relex.training import TrainingEvent

if TYPE_CHECKING:
    from relex.run.places import Run

LOGS = "logs"
SECONDS_PER_MINUTE = 60.0
Level = Literal["line", "detail", "warning"]


@dataclass(frozen=True)
class StageStarted:
    """A stage begins to work; one that is done already only says so in a line."""

    stage: str
    title: str
    total: int
    """Units of work that are expected; 0 where they cannot be counted."""


@dataclass(frozen=True)
class StageProgress:
    """`done` units of the stage are finished; more than were expected count as all."""

    stage: str
    done: int
    note: str = ""


@dataclass(frozen=True)
class StageEnded:
    """The stage is over."""

    stage: str
    seconds: float
    """Wall time of this attempt."""

    error: BaseException | None = None
    """What ended it before it was done."""


@dataclass(frozen=True)
class Line:
    """Words: a line or a warning for the person who watches, or a detail for the log alone."""

    text: str
    level: Level = "line"


@dataclass(frozen=True)
class Diagnosed:
    """The window is fitted, and this is what it tells."""

    diagnostics: Diagnostics


@dataclass(frozen=True)
class CandidateMeasured:
    """A candidate has answered all validation questions that it was to answer."""

    score: Score
    answers: Sequence[Answer]


@dataclass(frozen=True)
class Decided:
    """The choice is made."""

    decision: Decision


@dataclass(frozen=True)
class Tested:
    """The finalists have answered the first test benchmark."""

    decision: Decision
    answers_of: Mapping[Candidate, Sequence[Answer]]


Event = (
    StageStarted
    | StageProgress
    | StageEnded
    | Line
    | TrainingEvent
    | Diagnosed
    | CandidateMeasured
    | Decided
    | Tested
)
Listener = Callable[[Event], None]
"""Called in the run's own thread, in the order in which things happen. What it raises ends the
run."""


class Progress:
    """Tells how far a stage is."""

    def __init__(self, run: "Run", name: Stage) -> None:
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
def stage(run: "Run", name: Stage, title: str, total: int = 0) -> Iterator[Progress]:
    """Do a stage in the block, which must run in the main thread when the stage has a limit.

    Raises LimitError when it takes longer than the recipe's limit.
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


def _end(run: "Run", name: Stage, started: float, error: BaseException | None = None) -> None:
    seconds = time.monotonic() - started
    run.emit(StageEnded(name, seconds, error))
    run.add_seconds(name, seconds)


@contextmanager
def kept_log(run: "Run", name: Stage) -> Iterator[None]:
    """Write what is said in the block to `logs/<name>.log` of the run, after what earlier attempts
    wrote, also when the block fails."""
    key = f"{LOGS}/{name}.log"
    path = run.work / key
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() and run.store.size(key) is not None:
        run.store.get_file(key, path)
    with path.open("a", encoding="utf-8", buffering=1) as log:

        def write(event: Event) -> None:
            if isinstance(event, Line):
                level = "WARNING" if event.level == "warning" else "INFO"
                now = datetime.now().isoformat(" ", "milliseconds")
                log.write(f"{now} {level} {event.text}\n")

        run.listeners.append(write)
        try:
            yield
        except BaseException:
            # What ended the stage matters more than a log that cannot be kept too.
            with suppress(RelexError):
                run.store.put_file(key, path)
            raise
        finally:
            run.listeners.remove(write)
    run.store.put_file(key, path)


@contextmanager
def limited(run: "Run", name: Stage) -> Iterator[None]:
    """Raise LimitError in the block when it takes longer than the recipe allows.

    A timer signal interrupts whatever the block waits for, as a cancellation does; the children's
    own contexts then end them.
    """
    minutes = run.recipe.limits_minutes.get(name)
    if minutes is None:
        yield
        return

    def on_alarm(signum: int, frame: FrameType | None) -> NoReturn:
        raise LimitError(
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

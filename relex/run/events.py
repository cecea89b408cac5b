"""What a run says while it works; listeners show it and record it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from relex.candidates import Candidate
from relex.evaluation import Answer, Score
from relex.extrapolation import Diagnostics
from relex.selection import Decision
from relex.training import TrainingEvent

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

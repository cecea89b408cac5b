import json

import pytest
from pydantic import ValidationError

from relex.children import EVENT_MARK
from relex.training import SnapshotStored, TrainingResumed, TrainingWarning
from relex.training.events import parse_event, send


@pytest.mark.parametrize(
    "event",
    [
        SnapshotStored(step=3, size_bytes=12),
        TrainingResumed(step=2),
        TrainingWarning(message="look"),
    ],
)
def test_the_parent_receives_what_was_sent(
    event: SnapshotStored | TrainingResumed | TrainingWarning, capsys: pytest.CaptureFixture[str]
) -> None:
    send(event)
    line = capsys.readouterr().out
    assert parse_event(json.loads(line.removeprefix(EVENT_MARK))) == event


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValidationError):
        parse_event({"event": "surprise"})

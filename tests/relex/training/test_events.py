from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from relex.training import SnapshotStored, TrainingResumed, TrainingWarning
from relex.training.events import parse_event, send

Sent = Callable[[], list[dict[str, Any]]]


@pytest.mark.parametrize(
    "event",
    [
        SnapshotStored(step=3, size_bytes=12),
        TrainingResumed(step=2),
        TrainingWarning(message="look"),
    ],
)
def test_the_parent_receives_what_was_sent(
    event: SnapshotStored | TrainingResumed | TrainingWarning, sent: Sent
) -> None:
    send(event)
    [received] = sent()
    assert parse_event(received) == event


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValidationError):
        parse_event({"event": "surprise"})

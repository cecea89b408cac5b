"""What a training process sends, caught in a pipe of the test."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from relex import child_side


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Gives the events sent since it was last called, as the parent receives them."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    monkeypatch.setenv(child_side.EVENTS_VARIABLE, str(writer))
    monkeypatch.setattr(child_side, "_EVENTS", child_side._Events())
    with os.fdopen(reader, "rb") as pipe, os.fdopen(writer, "wb"):
        yield lambda: [json.loads(line) for line in (pipe.read() or b"").splitlines()]

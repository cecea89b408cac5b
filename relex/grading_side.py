"""What a grading process does: it reads questions as lines of JSON and answers each with a value.

Its first event is its value of a question that is right: a process that cannot grade is found at
once. The kernel keeps its limits, because text written by a model can hold Python inside one long
operation for hours: a timer ends the process when a question takes too long, and memory is capped.
The timer counts the processor's time, so that no value depends on what else the machine does.

Outside the room of rewards, whose import takes longer than a grading process needs to start: it is
started anew after every question that took too long.
"""

import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from relex.child_side import emit

MEMORY_BYTES = 2 << 30


def serve(judge: Callable[[dict[str, Any]], float], right: dict[str, Any], seconds: float) -> None:
    """Answer what comes in; `seconds` of the processor for each question. `right` is one that is
    worth 1."""
    logging.disable(logging.CRITICAL)
    _limit_resources()
    emit("value", value=judge(right))
    # From here on, what would be printed could be a model's text; it belongs in no log.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    for line in sys.stdin:
        question = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        value = judge(question)
        signal.setitimer(signal.ITIMER_PROF, 0)
        emit("value", value=value)


def _limit_resources() -> None:
    # Both are inherited and may have been changed in the parent.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))

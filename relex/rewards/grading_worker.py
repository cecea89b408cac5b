"""One grading process: reads pairs of expressions as lines of JSON, answers each with an event.

Its first event is the verdict on a pair that is equal: a process that cannot grade is found at
once. The kernel keeps its limits, because text written by a model can hold Python inside one long
operation for hours: a timer ends the process when a pair takes too long, and memory is capped. The
timer counts the processor's time, so that no verdict depends on what else the machine does.

Run as a file, `python grading_worker.py SECONDS`: without the rest of the room
it starts in half the time, and it is started anew after every pair that took too long.
"""

import json
import logging
import os
import resource
import signal
import sys
from functools import lru_cache
from typing import Any

from math_verify import parse, verify

from relex.child_side import child_main, emit

MEMORY_BYTES = 2 << 30
NUM_CACHED_EXPRESSIONS = 1024
TRUE_PAIR = (r"$\frac{1}{2}$", "$0.5$")


@lru_cache(maxsize=NUM_CACHED_EXPRESSIONS)
def parsed(text: str) -> Any:
    # The same gold answer comes once for every completion of its group.
    return parse(text, parsing_timeout=None)


def equal(gold: str, answer: str) -> bool:
    """Whether math-verify takes `answer` for `gold`; whatever it raises means no."""
    try:
        # The order matters: verify is not symmetric.
        return bool(verify(parsed(gold), parsed(answer), timeout_seconds=None))
    except Exception:
        return False


def limit_resources() -> None:
    # Both are inherited and may have been changed in the parent.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def main(timeout_seconds: float) -> None:
    logging.disable(logging.CRITICAL)
    limit_resources()
    emit("verdict", equal=equal(*TRUE_PAIR))
    # From here on, what would be printed could be a model's text; it belongs in no log.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    for line in sys.stdin:
        pair = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, timeout_seconds)
        verdict = equal(pair["gold"], pair["answer"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        emit("verdict", equal=verdict)


if __name__ == "__main__":
    child_main(lambda: main(float(sys.argv[1])), "grading")

"""Questions of reasoning-gym's tasks, which it makes from a seed."""

import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from relex.children import Child
from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems.columns import Row

WORKER_FILE = Path(__file__).with_name("gym_worker.py")
NEEDED = "needs the package reasoning-gym; install it with: pip install 'relex[gym]'"
SEED, SIZE = 0, 500
"""What a task would draw by chance, and its own default."""


def is_installed() -> bool:
    return find_spec("reasoning_gym") is not None


def reasoning_gym_rows(source: ProblemSource) -> Iterator[Row]:
    """All questions that the task makes with the options, each with its entry.

    Raises ProblemError where reasoning-gym is not installed, has no such task, or refuses one of
    the options.
    """
    if not is_installed():
        raise ProblemError(f"question source reasoning_gym: {NEEDED}")
    options = {"seed": SEED, "size": SIZE, **source.options}
    # -P: relex/problems must not come before the standard library on its path.
    command = [sys.executable, "-P", str(WORKER_FILE)]
    # Some tasks draw from sets. It prints dots.
    with Child(command, lambda _: None, {"PYTHONHASHSEED": "0"}) as child:
        child.send(task=source.task, options=options)
        child.close_input()
        for number, event in enumerate(child.events()):
            extra = {"task": source.task, "options": json.dumps(options), "entry": event["entry"]}
            yield Row(number, f"{source.task}, question {number}", event["columns"], extra)

"""A reward of the user's, in a process of its own.

Whatever it does there it does to itself: change what it was given, print, exit, hang, leave threads
and processes behind. The process lives as long as the reward, so that what it loads stays loaded.
"""

import sys
import threading
import weakref
from collections.abc import Sequence
from typing import Any

from relex.child_output import Event
from relex.children import Child
from relex.config import RewardTerm
from relex.errors import RewardError, StageError
from relex.rewards.contract import SHORT_CHARACTERS, named_batch
from relex.visible import one_line

WORKER = "relex.rewards.worker"
COMPLETIONS_PER_LIMIT = 100
END_SECONDS = 30.0


class RewardProcess:
    """Calls the reward of one term in its process; safe to use from any number of threads."""

    def __init__(self, name: str, term: RewardTerm, limit_seconds: float) -> None:
        """`limit_seconds`: for its start, and for every 100 completions (begun) of a call; 0 sets
        no limit.

        Raises RewardError when the reward does not import or does not take its parameters.
        """
        self._name, self._limit_seconds = name, limit_seconds
        self._lock = threading.Lock()
        self._child = Child.of_module(WORKER, [name], to_stderr)
        # Runs when the reward is dropped and at the end of the program, whichever comes first.
        self.close = weakref.finalize(self, self._child.finish, END_SECONDS)
        first = {"name": name, "term": term.model_dump(), "path": sys.path}
        self._ask(first, 1, "while it was imported")

    @property
    def pid(self) -> int:
        return self._child.pid

    def __call__(self, *, completions: Sequence[str], **others: Sequence[Any]) -> list[float]:
        """Its values, checked already. Raises RewardError also when the process ends or takes
        longer than its limit."""
        num_limits = -(-len(completions) // COMPLETIONS_PER_LIMIT) or 1
        with self._lock:
            event = self._ask(
                {"completions": completions, **others},
                num_limits,
                f"on {named_batch(completions)}",
            )
        return list(event["values"])

    def _ask(self, message: Event, num_limits: int, what: str) -> Event:
        """`what` the process is busy with, or on, for a message."""
        if not self.close.alive:
            raise RewardError(f"reward {self._name}: its process was ended; build it again")
        limit_seconds = self._limit_seconds * num_limits or None
        try:
            self._child.send(**message)
            return self._child.receive(limit_seconds)
        except TimeoutError as error:
            self.close.detach()
            self._child.end()
            raise RewardError(
                f"reward {self._name}: took longer than {limit_seconds:g} s {what}, and was "
                "ended; make it faster, or raise reward_seconds"
            ) from error
        except StageError as error:
            line = one_line(self._child.last_line or "", SHORT_CHARACTERS)
            last = f" (it last printed {line!r})" if line else ""
            raise RewardError(
                f"reward {self._name}: its process ended with status {self._child.status} "
                f"{what}{last}; a reward returns its values or raises an error, it must not end "
                "the process"
            ) from error


def to_stderr(line: str) -> None:
    """What a process of a reward prints."""
    print(line, file=sys.stderr, flush=True)

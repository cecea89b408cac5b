"""The process of a user's reward: `python -m relex.rewards.worker`.

It reads JSON lines: first which reward it is, then batches. Each is answered by one event.
"""

import json
import os
import sys
from typing import TextIO

from relex.child_side import child_main, emit
from relex.config import RewardTerm
from relex.rewards.contract import CheckedReward
from relex.rewards.registry import imported_function


def serve(messages: TextIO) -> None:
    first = json.loads(messages.readline())
    sys.path[:] = first["path"]
    reward = CheckedReward(first["name"], imported_function(RewardTerm(**first["term"])))
    emit("ready")
    for line in messages:
        emit("values", values=reward(**json.loads(line)))


def main() -> None:
    # A reward that reads its input must not find the batches there.
    messages = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    child_main(lambda: serve(messages), f"reward {sys.argv[1]}")


if __name__ == "__main__":
    main()

"""A child for the tests, which runs on nodes: answers each message, with the files it has."""

import json
import os
import sys
import time
from pathlib import Path

from relex.child_side import child_main, emit
from relex.errors import RewardError


def main() -> None:
    folder = Path(sys.argv[1])
    print("a line", flush=True)
    emit("ready", pid=os.getpid(), rank=os.environ.get("RELEX_NODE_RANK", ""))
    for line in sys.stdin:
        message = json.loads(line)
        match message["do"]:
            case "copy":
                (folder / "answer").write_bytes((folder / "question").read_bytes()[::-1])
                emit("copied")
            case "fail":
                raise RewardError("reward r: raised")
            case "die":
                os.kill(os.getpid(), 9)
            case "sleep":
                time.sleep(1000)
            case "echo":
                emit("echoed", text=message["text"])


if __name__ == "__main__":
    child_main(main)

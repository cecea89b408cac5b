"""Says what its node has: `python -m relex.cluster.probe`, which reads what is wanted."""

import sys

from relex.child_side import child_main, emit
from relex.cluster.look import Wanted, look


def main() -> None:
    emit("found", found=look(Wanted.model_validate_json(sys.stdin.readline())).model_dump())


if __name__ == "__main__":
    child_main(main, "probe")

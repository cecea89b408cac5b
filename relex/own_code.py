"""Finds out in a process of its own, before GPU time is spent, whether code of the user's imports:
`python -m relex.own_code KIND NAME`.

Engines and trainers bring libraries that take seconds and memory, and work in processes that are
started like this one.
"""

import sys

from relex.child_output import LogLine
from relex.child_side import child_main
from relex.children import Child
from relex.doors import ENGINE, TRAINER
from relex.doors.door import Door

DOORS = {door.kind: door for door in (ENGINE, TRAINER)}


def check_own_code(door: Door, name: str, on_log: LogLine) -> None:
    """Raise the door's error when `name` may not be run here, does not import or is not there."""
    door.place(name)
    if name not in door.built_in:
        with Child.of_module(__name__, [door.kind, name], on_log) as child:
            list(child.events())


def main() -> None:
    kind, name = sys.argv[1:]
    child_main(lambda: _load(DOORS[kind], name), f"{kind} {name}")


def _load(door: Door, name: str) -> None:
    door.load(name)


if __name__ == "__main__":
    main()

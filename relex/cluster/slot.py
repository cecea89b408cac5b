"""What runs on a node: one child of ours, in the Ray actor that holds its CPUs and GPUs.

All that the child says travels as values; nothing of it is printed into the logs of Ray.
"""

import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any

import ray

from relex.children import Child
from relex.cluster.mirror import Files, Mirror
from relex.errors import RelexError
from relex.home import make_home, own_folder

Note = dict[str, Any]
"""What is reported: `event` of the child with the `files` that came with it, `log` line, `error`
that ended it; an empty one says that it ended well."""


class ChildOnNode:
    """The actor. `report` waits; the other methods are called beside it."""

    def __init__(self) -> None:
        self._notes: SimpleQueue[Note] = SimpleQueue()
        self._folder = own_folder(make_home().node / "exchange")
        self._mirror = Mirror(self._folder)

    def meeting_place(self) -> tuple[str, str]:
        """Address of this node and a port of it that nothing listens on now."""
        address = ray.util.get_node_ip_address()
        with socket.socket() as probe:
            probe.bind((address, 0))
            return address, str(probe.getsockname()[1])

    def start(
        self, module: str, arguments: Sequence[str], env: Mapping[str, str], files: Files
    ) -> None:
        """Start `python -m module arguments`; an empty argument is the folder of `files`."""
        self._mirror.take_in(files)
        arguments = [argument or str(self._folder) for argument in arguments]
        self._child = Child.of_module(
            module, arguments, lambda line: self._notes.put({"log": line}), env
        )
        Thread(target=self._follow, daemon=True).start()

    def send(self, message: Mapping[str, Any], files: Files) -> None:
        """Pass a message on."""
        self._mirror.take_in(files)
        # Of a child that is dead `report` says why.
        with suppress(BrokenPipeError):
            self._child.write(message)

    def close_input(self) -> None:
        self._child.close_input()

    def report(self) -> list[Note]:
        """All that is new, at least one thing."""
        notes = [self._notes.get()]
        while not self._notes.empty():
            notes.append(self._notes.get())
        return notes

    def end(self) -> None:
        """End the child and what it started."""
        self._child.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _follow(self) -> None:
        try:
            for event in self._child.events():
                self._notes.put({"event": event, "files": self._mirror.changed()})
            self._notes.put({})
        except RelexError as error:
            self._notes.put({"error": {"type": type(error).__name__, "message": str(error)}})

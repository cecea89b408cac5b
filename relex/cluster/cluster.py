"""The parent's side of the cluster: children that run on other nodes."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any

from relex.child_output import Event, LogLine
from relex.children import AnyChild, Child
from relex.cluster.address import check_address
from relex.errors import RelexError, ResourceError, StageError

DRIVER = "relex.cluster.driver"
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0"}
START_SECONDS = 300.0
"""Only ends what hangs."""

END_SECONDS = 60.0
Notes = list[dict[str, Any]]


@dataclass(frozen=True)
class Node:
    """A machine of the cluster and what it has for Ray."""

    id: str
    address: str
    cpus: int
    gpus: int

    def can_give(self, gpus: int) -> bool:
        """Whether it may have a slot with so many GPUs; a head may take no work at all."""
        return self.cpus > 0 and self.gpus >= gpus


@dataclass(frozen=True)
class Slot:
    """What one child gets of a node."""

    cpus: int
    gpus: int
    num_nodes: int = 1
    """Above 1 the child runs on so many nodes at once, with as much of each."""

    node: str = ""
    """Identity of the node it must be on; any without."""

    patience_seconds: float | None = None
    """How long it may wait to become free; without an end by default."""


class Cluster:
    """A connection to it, through a driver in a process of its own."""

    def __init__(self, address: str, on_log: LogLine) -> None:
        """Raises ResourceError when there is no such cluster, or this machine is not in it."""
        check_address(address)
        self.address = address
        self._children: dict[int, SimpleQueue[Notes | RelexError | None]] = {}
        self._numbers, self._sending = count(), Lock()
        self._driver = Child.of_module(DRIVER, [address], on_log, ENVIRONMENT)
        try:
            self._take_nodes(self._driver.receive(START_SECONDS))
        except BaseException:
            self._driver.end()
            raise
        self._reader = Thread(target=self._read, name="cluster", daemon=True)
        self._reader.start()

    def slots(self, gpus: int) -> tuple[Slot, int]:
        """A slot with so many GPUs and its share of the CPUs, and how many of them there are; of 0
        GPUs one for each node, with all of its CPUs.

        Raises ResourceError where there is none.
        """
        having = [node for node in self.nodes if node.can_give(gpus)]
        if not having:
            raise ResourceError(
                f"the cluster at {self.address} has no node with {gpus} GPUs; its "
                f"{len(self.nodes)} nodes have {[node.gpus for node in self.nodes]}"
            )
        numbers = [node.gpus // gpus if gpus else 1 for node in having]
        cpus = min(node.cpus // number for node, number in zip(having, numbers, strict=True))
        return Slot(max(cpus, 1), gpus), sum(numbers)

    def start(
        self,
        slot: Slot,
        module: str,
        arguments: Sequence[str],
        on_log: LogLine,
        env: Mapping[str, str] = {},
        folder: Path | None = None,
    ) -> "RemoteChild":
        """As `Child.of_module`, in a slot of the cluster, where one becomes free.

        The child has the environment of its node, and `env`, which anyone can read there. Files in
        the flat `folder` travel with messages to it and with its events back; where it is among the
        arguments, the child is told its own.
        """
        number = next(self._numbers)
        notes = self._children[number] = SimpleQueue()
        self.tell(
            number,
            "start",
            module=module,
            arguments=list(arguments),
            env=dict(env),
            folder=str(folder or ""),
            cpus=slot.cpus,
            gpus=slot.gpus,
            num_nodes=slot.num_nodes,
            node=slot.node,
            patience_seconds=slot.patience_seconds,
        )
        return RemoteChild(self, number, module, notes, on_log)

    def tell(self, number: int, what: str, **more: Any) -> None:
        """Pass on to the driver; one that is dead says so to whoever waits."""
        with self._sending:
            try:
                self._driver.write({"do": what, "child": number, **more})
            except (BrokenPipeError, ValueError):
                self._children[number].put(self._gone())

    def close(self) -> None:
        """End all children, and the driver."""
        self._driver.close_input()
        self._reader.join(END_SECONDS)
        if self._reader.is_alive():
            os.kill(self._driver.pid, signal.SIGKILL)
            self._reader.join()
        self._driver.end()

    def _read(self) -> None:
        """Sort what comes by the children that say it."""
        failed: RelexError = self._gone()
        try:
            for event in self._driver.events():
                if event["event"] == "nodes":
                    self._take_nodes(event)
                else:
                    self._children[event["child"]].put(event["notes"])
        except RelexError as error:
            failed = error
        for notes in tuple(self._children.values()):
            notes.put(failed)

    def _take_nodes(self, event: Event) -> None:
        self.nodes = [Node(**node) for node in event["nodes"]]
        """Those that live now."""

    def _gone(self) -> StageError:
        return StageError(f"the Ray driver of {self.address} has ended")


@contextmanager
def open_cluster(address: str, on_log: LogLine) -> Iterator[Cluster]:
    """Connected for as long as the block; raises ResourceError as `Cluster`."""
    cluster = Cluster(address, on_log)
    try:
        yield cluster
    finally:
        cluster.close()


class RemoteChild(AnyChild):
    """A child on a node of the cluster, or one of several nodes."""

    def __init__(
        self,
        cluster: Cluster,
        number: int,
        name: str,
        notes: "SimpleQueue[Notes | RelexError | None]",
        on_log: LogLine,
    ) -> None:
        self.name = name
        self._cluster, self._number, self._on_log = cluster, number, on_log
        self._notes = notes
        self._inbox: list[Event] = []
        self._ended: RelexError | None = None
        self._is_running = True

    def send(self, **message: Any) -> None:
        self._cluster.tell(self._number, "send", message=message)

    def close_input(self) -> None:
        self._cluster.tell(self._number, "close_input")

    def end(self) -> None:
        """Returns when its slot is free again."""
        if self._is_running:
            self._cluster.tell(self._number, "end")
        while self._is_running:
            self._take(self._notes.get())

    def _next(self, deadline: float | None) -> Event | None:
        while not self._inbox and self._is_running:
            timeout = None if deadline is None else max(deadline - monotonic(), 0)
            try:
                self._take(self._notes.get(timeout=timeout))
            except Empty:
                raise TimeoutError from None
        if self._inbox:
            return self._inbox.pop(0)
        if self._ended is not None:
            raise self._ended
        return None

    def _died(self) -> StageError:
        return StageError(f"{self.name}: ended on its node")

    def _take(self, notes: Notes | RelexError | None) -> None:
        """Log lines are said, events kept; None follows the last."""
        if notes is None or isinstance(notes, RelexError):
            self._is_running, self._ended = False, self._ended or notes
            return
        for note in notes:
            if "log" in note:
                self._on_log(note["log"])
            elif "event" in note:
                self._inbox.append(note["event"])
            elif "error" in note:
                self._inbox.append({"event": "error", **note["error"]})

"""The Ray driver: `python -m relex.cluster.driver HOST:PORT`, a child process like the others.

Nowhere else is `ray.init` called: it takes over the signals of its process. When this process ends,
however it does, Ray ends the actors that it started, and they end what they run.

It reads JSON lines, each with the number of a child and what to do with it: `start`, `send`,
`close_input`, `end`. It reports what the children say as events `remote`.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from threading import Thread
from typing import Any

import ray

from relex.child_side import child_main, emit
from relex.cluster.group import Group, Message
from relex.errors import ResourceError
from relex.visible import one_line

LOOK_SECONDS = 5.0
"""Time between two looks at which nodes live."""


class Driver:
    """All children of one parent."""

    def __init__(self) -> None:
        self._groups: dict[int, Group] = {}
        self._running: list[asyncio.Task[None]] = []

    def do(self, message: Message) -> None:
        """What the parent says of one of them."""
        number = message["child"]
        match message["do"]:
            case "start":
                self._groups[number] = Group(number, message)
                self._running.append(asyncio.create_task(self._groups[number].run()))
            case "end":
                self._groups[number].end()
            case _:
                self._groups[number].put(message)

    async def end(self) -> None:
        """End all that is left."""
        for group in self._groups.values():
            group.end()
        await asyncio.gather(*self._running)


async def drive() -> None:
    """Do what the parent says, until it says nothing more."""
    driver, inputs = Driver(), asyncio.Queue[str]()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(inputs.put_nowait, line)
        loop.call_soon_threadsafe(inputs.put_nowait, "")

    Thread(target=read, daemon=True).start()
    looking = asyncio.create_task(_look())
    while line := await inputs.get():
        driver.do(json.loads(line))
    looking.cancel()
    await driver.end()


async def _look() -> None:
    """Report the nodes where they are others than before."""
    known: list[Mapping[str, Any]] = []
    while True:
        found = await asyncio.to_thread(nodes)
        if found != known:
            emit("nodes", nodes=found)
            known = found
        await asyncio.sleep(LOOK_SECONDS)


def nodes() -> list[Mapping[str, Any]]:
    """Those that live: identity, address and what each has."""
    return [
        {
            "id": node["NodeID"],
            "address": node["NodeManagerAddress"],
            "cpus": int(node["Resources"].get("CPU", 0)),
            "gpus": int(node["Resources"].get("GPU", 0)),
        }
        for node in ray.nodes()
        if node["Alive"]
    ]


def main() -> None:
    address = sys.argv[1]
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    except Exception as error:
        raise ResourceError(
            f"RELEX_CLUSTER {address}: Ray does not let this machine in "
            f"({one_line(str(error), 300)}); it must be a node of the cluster, with the same "
            "Python and Ray as the others, see docs/cluster.md"
        ) from error
    try:
        asyncio.run(drive())
    finally:
        ray.shutdown()


if __name__ == "__main__":
    child_main(main, "Ray driver")

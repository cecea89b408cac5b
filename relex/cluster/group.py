"""One child on the cluster: the actors that run it, on one node or on several, and what it says."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

from relex.child_side import emit
from relex.cluster.mirror import Mirror
from relex.cluster.slot import ChildOnNode, Note
from relex.visible import one_line

WAIT_SECONDS = 10.0
"""After that long without a free slot, the log says what is waited for."""

END_SECONDS = 30.0
"""A child has its grace on its node; a node that does not answer is given up."""

SETTLE_SECONDS = 120.0
"""Only ends what hangs."""

LOSS_SECONDS = 10.0
"""So long a node that died may take to be noticed after what died of it elsewhere."""

Message = Mapping[str, Any]
Actor = Any


class Group:
    """The actors of one child: one, or for a child of several nodes one on each."""

    def __init__(self, number: int, start: Message) -> None:
        self._number, self._start = number, start
        self._inputs: asyncio.Queue[Message] = asyncio.Queue()
        self._mirror = Mirror(Path(start["folder"]) if start["folder"] else None)
        self._actors: list[Actor] = []
        self._placement: Any = None
        self._is_placed = False
        self._working = asyncio.create_task(self._work())

    def put(self, message: Message) -> None:
        """Something to pass on, in order."""
        self._inputs.put_nowait(message)

    def end(self) -> None:
        """Let `run` come to its end."""
        self._working.cancel()

    async def run(self) -> None:
        """From the start of the child to its end."""
        await asyncio.wait([self._working])
        await self._end()
        emit("remote", child=self._number, notes=None)

    async def _work(self) -> None:
        tasks: list[asyncio.Task[None]] = []
        following: list[asyncio.Task[None]] = []
        try:
            self._place()
            await self._begin()
            following = [asyncio.create_task(self._follow(actor)) for actor in self._actors]
            tasks = [*following, asyncio.create_task(self._feed())]
            await asyncio.gather(*following)
        except _Failed as failed:
            # What happens to one when another's node dies is no fault of its own.
            if following and failed.error["type"] == "StageError":
                await asyncio.wait(following, timeout=LOSS_SECONDS)
            lost = [task.exception() for task in following if task.done()]
            if any(isinstance(error, RayError) for error in lost):
                await self._report_lost(failed)
            else:
                self._report({"error": failed.error})
        except RayError as error:
            await self._report_lost(error)
        finally:
            for task in tasks:
                task.cancel()

    async def _report_lost(self, error: Exception) -> None:
        """Once the cluster knows of the death: what is placed before may wait for a dead node."""
        reason = f"{self._start['module']}: lost: {one_line(str(error), 300)}"
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*map(_settled, self._actors)), SETTLE_SECONDS)
        self._report({"error": {"type": "LostError", "message": reason}})

    def _place(self) -> None:
        """Ask for the actors, each with the CPUs and GPUs of a slot."""
        num_nodes, node = self._start["num_nodes"], self._start["node"]
        cpus, gpus = self._start["cpus"], self._start["gpus"]
        strategy: Any = "SPREAD"
        if node:
            strategy = NodeAffinitySchedulingStrategy(node, soft=False)
        if num_nodes > 1:
            bundles = [{"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}] * num_nodes
            self._placement = placement_group(bundles, strategy="STRICT_SPREAD")
        remote = ray.remote(ChildOnNode)
        for index in range(num_nodes):
            if self._placement is not None:
                strategy = PlacementGroupSchedulingStrategy(self._placement, index)
            options = remote.options(
                num_cpus=cpus, num_gpus=gpus, max_concurrency=4, scheduling_strategy=strategy
            )
            self._actors.append(options.remote())

    async def _begin(self) -> None:
        """Start the child on its nodes; several find each other by variables of a launcher."""
        places = asyncio.gather(*(actor.meeting_place.remote() for actor in self._actors))
        waiting = asyncio.create_task(self._say_waiting())
        try:
            found = await asyncio.wait_for(places, self._start["patience_seconds"])
        except TimeoutError:
            reason = f"{self._start['module']}: no node of the cluster became free for it"
            raise _Failed({"type": "LostError", "message": reason}) from None
        finally:
            waiting.cancel()
        self._is_placed = True
        host, port = found[0]
        files = self._mirror.changed()
        folder, env = self._start["folder"], self._start["env"]
        arguments = ["" if one == folder else one for one in self._start["arguments"]]
        starts = []
        for rank, actor in enumerate(self._actors):
            meeting = {} if len(self._actors) == 1 else _meeting(host, port, rank)
            starts.append(
                actor.start.remote(self._start["module"], arguments, {**env, **meeting}, files)
            )
        await asyncio.gather(*starts)

    async def _say_waiting(self) -> None:
        await asyncio.sleep(WAIT_SECONDS)
        start = self._start
        what = f"{start['cpus']} CPUs and {start['gpus']} GPUs"
        self._report({"log": f"waiting for {start['num_nodes']} node(s) with {what} free"})

    async def _feed(self) -> None:
        """Pass on what is to be sent; one that cannot be is a lost actor, which `_follow` sees."""
        with suppress(RayError):
            while True:
                message = await self._inputs.get()
                files = self._mirror.changed()
                for actor in self._actors:
                    if message["do"] == "send":
                        await actor.send.remote(message["message"], files)
                    else:
                        await actor.close_input.remote()

    async def _follow(self, actor: Actor) -> None:
        """Report what the child says on one node until it ends there."""
        while True:
            for note in await actor.report.remote():
                if not note:
                    return
                if "error" in note:
                    raise _Failed(note["error"])
                if "event" in note:
                    self._mirror.take_in(note.pop("files"))
                self._report(note)

    def _report(self, note: Note) -> None:
        emit("remote", child=self._number, notes=[note])

    async def _end(self) -> None:
        with suppress(RayError, TimeoutError):
            # Those that wait for a place would never answer.
            ends = (actor.end.remote() for actor in self._actors if self._is_placed)
            ending = asyncio.gather(*ends, return_exceptions=True)
            await asyncio.wait_for(ending, END_SECONDS)
        for actor in self._actors:
            ray.kill(actor)
        if self._placement is not None:
            remove_placement_group(self._placement)


class _Failed(Exception):
    """The child ended with an error on one of its nodes."""

    def __init__(self, error: Mapping[str, str]) -> None:
        super().__init__(error["message"])
        self.error = error


async def _settled(actor: Actor) -> None:
    """Returns when the actor answers, or is known to be dead."""
    while True:
        try:
            await actor.meeting_place.remote()
            return
        except ActorUnavailableError:
            await asyncio.sleep(1)
        except RayError:
            return


def _meeting(host: str, port: str, rank: int) -> dict[str, str]:
    return {"MASTER_ADDR": host, "MASTER_PORT": port, "RELEX_NODE_RANK": str(rank)}

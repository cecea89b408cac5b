"""Whether a run has room in memory and on disk: on this machine, or on each node of its cluster."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from relex.cluster import Found, Node
from relex.config import Recipe
from relex.errors import ResourceError
from relex.home import free_bytes
from relex.memory import check_memory, disk_phase, longest_prompt, this_machine, window_bytes
from relex.run.nodes import may_answer, may_train
from relex.run.places import TRAIN, Run

GB = 1e9
Nodes = Mapping[Node, Found]
"""What each node of the cluster has; empty without a cluster."""


def check_run_memory(run: Run, nodes: Nodes) -> None:
    """Say the memory plan of every machine that may work; raise ResourceError where it is too
    small."""
    recipe, longest = run.recipe, None
    if isinstance(recipe, Recipe):
        longest = longest_prompt(recipe, run.base_folder, run.problems[TRAIN])

    def say(line: str) -> None:
        run.say(f"memory     {line}")

    if not nodes:
        check_memory(recipe, run.model, this_machine(run.device), say, longest)
        return
    planned = set()
    for node, found in nodes.items():
        machine = found.machine if run.device == "cuda" else found.machine.without_cards()
        kind = (machine, trains := may_train(run, node))
        if kind not in planned and (trains or may_answer(run, node)):
            named = replace(machine, name=f"node {node.address}")
            check_memory(recipe, run.model, named, say, longest, trains=trains)
            planned.add(kind)


def check_run_disk(run: Run, nodes: Nodes) -> None:
    """Raise ResourceError where the disk of a machine is too small for what it keeps."""
    recipe = run.recipe
    if not isinstance(recipe, Recipe):
        return
    stored_bytes = sum(window_bytes(recipe, run.base, run.model))
    run.say(f"storage    {run.uri}: {stored_bytes / GB:.2f} GB for the window")
    free = free_bytes(run.work)
    _check_disk(run, recipe, str(run.work), free, run.say, trains=not nodes)
    for node, found in nodes.items():
        if may_train(run, node):
            where = f"node {node.address}"
            _check_disk(run, recipe, where, found.free_bytes, run.detail, publishes=False)


def _check_disk(
    run: Run,
    recipe: Recipe,
    where: str,
    free: float,
    say: Callable[[str], None],
    **does: bool,
) -> None:
    disk = disk_phase(recipe, run.base, run.model, free, **does)
    say(f"disk       {disk.words}")
    if not disk.fits:
        raise ResourceError(
            f"{where}: the run takes {disk.words} are free; free some, set RELEX_HOME to "
            "another disk, or keep fewer steps (training.snapshot_steps)"
        )

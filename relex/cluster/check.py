"""Whether the nodes of a cluster can do the work of a run, with the results of one machine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

from relex.child_output import LogLine
from relex.children import AnyChild, start_here
from relex.cluster.cluster import Cluster, Node, Slot
from relex.cluster.look import Found, Wanted
from relex.errors import ResourceError
from relex.storage import open_store

PROBE = "relex.cluster.probe"
DIGEST_CHARACTERS = 12


def check_cluster(
    cluster: Cluster,
    wanted: Wanted,
    on_log: LogLine,
    trains: Callable[[Node], bool] = lambda node: False,
) -> dict[Node, Found]:
    """What each node has; the versions are those of this machine. `trains`: which may have to.

    Raises ResourceError, naming the first node and what differs, unless each has the code and the
    packages of this machine, reaches the storage, and finds what the run reads there, as it is
    here.
    """
    nodes = tuple(cluster.nodes)
    with _marked(wanted) as marked, ExitStack() as stack:
        probes: list[AnyChild] = [stack.enter_context(start_here(PROBE, [], on_log))]
        probes[0].send(**marked.model_dump(mode="json"))
        for node in nodes:
            # A busy node answers too: none of its slots is taken.
            slot = Slot(cpus=0, gpus=0, node=node.id)
            probe = cluster.start(slot, PROBE, [], on_log, _all_cards(node))
            probes.append(stack.enter_context(probe))
            asked = marked.model_copy(update={"trains": trains(node)})
            probe.send(**asked.model_dump(mode="json"))
        here, *there = [Found.model_validate(probe.receive()["found"]) for probe in probes]
    compare("this machine", here, here)
    for node, found in zip(nodes, there, strict=True):
        compare(f"node {node.address}", found, here)
        if found.niceness > here.niceness:
            on_log(
                f"node {node.address}: its processes wait for all others there (niceness "
                f"{found.niceness}); start Ray with RAY_worker_niceness=0"
            )
    return dict(zip(nodes, there, strict=True))


@contextmanager
def _marked(wanted: Wanted) -> Iterator[Wanted]:
    """With an object in the storage that no node can have from elsewhere."""
    if not wanted.storage:
        yield wanted
        return
    store, marker = open_store(wanted.storage, wanted.connection), f".relex-nodes-{uuid4().hex}"
    store.put(marker, b"relex")
    try:
        yield wanted.model_copy(update={"marker": marker})
    finally:
        store.delete(marker)


def _all_cards(node: Node) -> dict[str, str]:
    """Ray hides the GPUs from what takes none of them."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(node.gpus)))}


def compare(where: str, there: Found, here: Found) -> None:
    """Raise ResourceError unless a node has what this machine has."""
    names = sorted({*there.versions, *here.versions})
    differing = [
        f"{name} {there.versions.get(name, 'none')} (here {here.versions.get(name, 'none')})"
        for name in names
        if there.versions.get(name) != here.versions.get(name)
    ]
    if differing:
        raise ResourceError(
            f"{where}: has {', '.join(differing)}; install the same relex and the same packages "
            "on every node"
        )
    if there.fault:
        raise ResourceError(f"{where}: {there.fault}")
    for what, digest in there.digests.items():
        if digest != here.digests.get(what, digest):
            raise ResourceError(
                f"{where}: has another {what}: digest {digest[-DIGEST_CHARACTERS:]}, here "
                f"{here.digests[what][-DIGEST_CHARACTERS:]}; give the same to every node, or name "
                "a commit of the Hub"
            )

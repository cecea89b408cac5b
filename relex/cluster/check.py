"""Whether the nodes of a cluster can do the work of a run, with the results of one machine."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from uuid import uuid4

from relex.child_output import LogLine
from relex.cluster.cluster import Cluster, Node, Slot
from relex.cluster.look import Found, Wanted, look
from relex.errors import ResourceError
from relex.storage import open_store

PROBE = "relex.cluster.probe"


def check_cluster(cluster: Cluster, wanted: Wanted, on_log: LogLine) -> dict[str, str]:
    """The versions of this machine, which every node has.

    Raises ResourceError, naming the first node and what differs, unless each has the code, the
    packages and the base of this machine, and reaches the storage.
    """
    nodes = tuple(cluster.nodes)
    with _marked(wanted) as marked:
        here = look(marked)
        found = _ask(cluster, nodes, marked, on_log)
    for node, there in zip(nodes, found, strict=True):
        compare(f"node {node.address}", there, here)
        if there.niceness > here.niceness:
            on_log(
                f"node {node.address}: its processes wait for all others there (niceness "
                f"{there.niceness}); start Ray with RAY_worker_niceness=0"
            )
    return here.versions


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


def _ask(cluster: Cluster, nodes: Sequence[Node], wanted: Wanted, on_log: LogLine) -> list[Found]:
    """What all nodes have, busy ones too: it takes none of their slots."""
    with ExitStack() as stack:
        children = []
        for node in nodes:
            slot = Slot(cpus=0, gpus=0, node=node.id)
            children.append(stack.enter_context(cluster.start(slot, PROBE, [], on_log)))
            children[-1].send(**wanted.model_dump(mode="json"))
        return [Found.model_validate(child.receive()["found"]) for child in children]


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
        raise ResourceError(
            f"{where}: {there.fault}; a run on a cluster is kept where every node reaches it: set "
            "storage.uri to such a bucket, and give the nodes its keys in their own environment"
        )
    if there.base_digest != here.base_digest:
        raise ResourceError(
            f"{where}: has another base under that name: digest {there.base_digest[:12]}, here "
            f"{here.base_digest[:12]}; put the same one on every node, or name a commit of the Hub"
        )

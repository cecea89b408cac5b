"""However a process ends that uses a cluster, nothing of it stays there."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from relex.cluster import Cluster, Slot
from tests.processes import listening
from tests.waiting import wait_until_gone

pytestmark = pytest.mark.slow

PARENT = """
import sys, time
from pathlib import Path
from relex.cluster import Slot, open_cluster

with open_cluster(sys.argv[1], print) as cluster:
    slot, number = cluster.slots(0)
    children = [
        cluster.start(slot, "node_child", [sys.argv[2]], print, folder=Path(sys.argv[2]))
        for _ in range(number)
    ]
    try:
        pids = [child.receive()["pid"] for child in children]
        print("pids", *pids, flush=True)
        for child in children:
            child.send(do="sleep")
        time.sleep(1000)
    finally:
        for child in children:
            child.end()
        print("cleaned up", flush=True)
"""


@pytest.fixture
def parent(ray_nodes, tmp_path):
    """A process with a child in every slot of the cluster, and the pids of these."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, ray_nodes.address, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        line = next(line for line in process.stdout if line.startswith("pids"))
        descendants = psutil.Process(process.pid).children(recursive=True)
        yield process, [*map(psutil.Process, map(int, line.split()[1:])), *descendants]
        process.kill()


@pytest.fixture
def ports(parent) -> set[int]:
    """On which these processes listen."""
    return {port for process in parent[1] for _, port in listening(process)}


def wait_until_nothing_is_left(processes: list[psutil.Process], ports: set[int]) -> None:
    wait_until_gone(processes)
    listened = (one for one in psutil.net_connections("inet") if one.status == psutil.CONN_LISTEN)
    assert ports.isdisjoint({one.laddr.port for one in listened})


def has_free_slots(cluster: Cluster, folder: Path) -> bool:
    """Starts a child in every slot at the same time."""
    children = [cluster.start(Slot(1, 0), "node_child", [str(folder)], print) for _ in range(3)]
    events = [child.receive()["event"] for child in children]
    for child in children:
        child.end()
    return events == ["ready"] * 3


def test_a_killed_parent_leaves_nothing(parent, ports, cluster, tmp_path) -> None:
    process, others = parent
    process.send_signal(signal.SIGKILL)
    wait_until_nothing_is_left(others, ports)
    assert has_free_slots(cluster, tmp_path)


def test_a_killed_driver_ends_its_children_with_an_error(parent, ports, cluster, tmp_path) -> None:
    process, others = parent
    driver = next(one for one in others if "relex.cluster.driver" in one.cmdline())
    driver.kill()
    wait_until_nothing_is_left(others, ports)
    process.send_signal(signal.SIGINT)
    assert "cleaned up" in process.stdout.read()
    assert has_free_slots(cluster, tmp_path)


def test_an_interrupted_parent_ends_its_children_itself(parent, ports, cluster, tmp_path) -> None:
    process, others = parent
    process.send_signal(signal.SIGINT)
    assert "cleaned up" in process.stdout.read()
    wait_until_nothing_is_left(others, ports)
    assert has_free_slots(cluster, tmp_path)

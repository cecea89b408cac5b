"""A real cluster: its children behave like those of this machine, its nodes are looked at."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from relex.cluster import Cluster, Slot, Wanted, check_cluster, open_cluster
from relex.cluster.cluster import RemoteChild
from relex.cluster.look import look
from relex.config import Recipe, check_recipe, load_recipe
from relex.errors import LostError, ResourceError, RewardError, StageError
from tests.ray_nodes import ROOT

pytestmark = pytest.mark.slow

Start = Callable[..., RemoteChild]
SLOT = Slot(cpus=1, gpus=0)


def toy_with(change: dict[str, Any]) -> Recipe:
    """The toy's recipe with other sections."""
    toy = load_recipe(ROOT / "deployments" / "recipes" / "toy.yaml")
    return check_recipe(toy.model_dump(mode="json", exclude_unset=True) | change, "toy")


@pytest.fixture
def start(cluster: Cluster, tmp_path: Path) -> Start:
    """Starts a child, whose folder here is the test's."""

    def start(slot: Slot = SLOT, lines: list[str] | None = None, **env: str) -> RemoteChild:
        on_log = (lines if lines is not None else []).append
        return cluster.start(slot, "node_child", [str(tmp_path)], on_log, env, tmp_path)

    return start


def test_a_child_answers_with_files_and_says_its_lines(start: Start, tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "question").write_bytes(b"abc")
    with start(SLOT, lines) as child:
        assert child.receive()["event"] == "ready"
        child.send(do="copy")
        assert child.receive() == {"event": "copied"}
        assert (tmp_path / "answer").read_bytes() == b"cba"
        (tmp_path / "question").write_bytes(b"xyz")
        child.send(do="copy")
        assert child.receive() == {"event": "copied"}
        child.finish(60)
    assert (tmp_path / "answer").read_bytes() == b"zyx"
    assert lines == ["a line"]


def test_messages_and_events_keep_their_order(start: Start) -> None:
    with start() as child:
        child.receive()
        for number in range(50):
            child.send(do="echo", text=str(number))
        assert [child.receive()["text"] for _ in range(50)] == [str(n) for n in range(50)]


def test_an_error_of_ours_is_raised_again_here(start: Start) -> None:
    with start() as child, pytest.raises(RewardError, match=r"^reward r: raised$"):
        child.send(do="fail")
        list(child.events())


def test_a_child_that_dies_is_reported_with_its_last_lines(start: Start) -> None:
    with (
        start() as child,
        pytest.raises(StageError, match=r"ended with status -9(.|\n)*a line"),
    ):
        child.send(do="die")
        list(child.events())


def test_what_is_ended_leaves_its_slot_and_no_process(cluster: Cluster, start: Start) -> None:
    _, num_slots = cluster.slots(0)
    for _ in range(2):
        children = [start() for _ in range(num_slots)]
        pids = [child.receive()["pid"] for child in children]
        for child in children:
            child.send(do="sleep")
            child.end()
        assert not any(map(psutil.pid_exists, pids))


def test_a_child_of_several_nodes_has_a_rank_on_each(start: Start) -> None:
    with start(Slot(cpus=1, gpus=0, num_nodes=3)) as child:
        ranks = [child.receive()["rank"] for _ in range(3)]
        assert sorted(ranks) == ["0", "1", "2"]
        child.finish(60)


def test_nodes_like_this_machine_pass_and_leave_no_marker(cluster, tmp_path: Path) -> None:
    wanted = Wanted(storage=str(tmp_path), recipe=toy_with({}))
    found = check_cluster(cluster, wanted, print)
    assert [node.address for node in found] == [node.address for node in cluster.nodes]
    here = look(Wanted())
    for its in found.values():
        assert its.versions == here.versions and its.machine == here.machine
    assert list(tmp_path.iterdir()) == []


def test_code_that_only_this_machine_has_is_refused(cluster, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "only_here.py").write_text("def pay(completions, **_): return [1.0]\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    recipe = toy_with({"rewards": [{"reward": "only_here:pay"}]})
    with pytest.raises(ResourceError, match=r"^node 127.*: reward only_here:pay: .*; nodes read"):
        check_cluster(cluster, Wanted(recipe=recipe), print)


def test_the_command_shows_the_nodes(ray_nodes) -> None:
    command = [sys.executable, "-m", "flows.program", "cluster", "check", "--nodes", "3"]
    environment = {**os.environ, "RELEX_CLUSTER": ray_nodes.address}
    shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "127.0.0.4" in shown.stdout
    assert "3 nodes are like this machine: python 3" in shown.stdout


def test_a_cluster_without_such_gpus_says_what_it_has(cluster: Cluster) -> None:
    with pytest.raises(ResourceError, match=r"no node with 8 GPUs; its 3 nodes have \[0, 0, 0\]"):
        cluster.slots(8)


def test_a_node_that_dies_takes_its_child_along(ray_nodes, cluster, start) -> None:
    node = next(node for node in cluster.nodes if node.address == "127.0.0.4")
    with (
        start(Slot(cpus=1, gpus=0, node=node.id)) as child,
        pytest.raises(LostError, match="node_child: lost"),
    ):
        child.receive()
        ray_nodes.kill(2)
        child.receive()


def test_an_address_where_nothing_answers_is_refused() -> None:
    with (
        pytest.raises(ResourceError, match=r"RELEX_CLUSTER 127.0.0.1:1: no cluster answers there"),
        open_cluster("127.0.0.1:1", print),
    ):
        pass


def test_an_address_that_is_none_is_refused() -> None:
    with (
        pytest.raises(ResourceError, match=r"RELEX_CLUSTER auto: is no address; give HOST:PORT"),
        open_cluster("auto", print),
    ):
        pass

"""Memory and disk are planned for each node that may work, and one that is too small is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relex.cluster import Found, Node
from relex.config import check_recipe
from relex.errors import ResourceError
from relex.home import Home
from relex.machine import Machine, planned_machine
from relex.run.places import Run
from relex.run.room import check_run_disk, check_run_memory
from relex.run.stage import Event, Line
from relex.storage import S3Connection

H100 = replace(planned_machine(80, 1), host_bytes=64e9)
TOO_SMALL = replace(planned_machine(2, 1), host_bytes=64e9)
PLENTY = 10**12


def found(machine: Machine, free_bytes: int = PLENTY) -> Found:
    return Found(versions={}, machine=machine, free_bytes=free_bytes)


def node(number: int, gpus: int = 0, cpus: int = 8) -> Node:
    return Node(f"id{number}", f"10.0.0.{number}", cpus, gpus)


@pytest.fixture
def run_on(tmp_path: Path) -> Callable[..., tuple[Run, list[str]]]:
    """A run of the toy on nodes, and the lines that it says."""

    def make(nodes: dict[Node, Found], device: str = "auto", **training: Any):
        recipe = check_recipe(
            {
                "name": "tiny",
                "base": {"path": "toy"},
                "device": device,
                "storage": {"uri": "s3://bucket"},
                "problems": {
                    "train": {"kind": "toy", "split": "train"},
                    "validation": {"kind": "toy", "split": "validation"},
                    "test": [{"name": "toy", "source": {"kind": "toy", "split": "test"}}],
                },
                "rewards": [{"reward": "exact_match"}],
                "training": {"steps": 4, "learning_rate": 1e-5, **training},
                "extrapolation": {"targets": [8]},
                "evaluation": {"grader": "exact_match", "engine": "transformers"},
            },
            "test",
        )
        lines: list[str] = []

        def listen(event: Event) -> None:
            assert isinstance(event, Line)
            lines.append(event.text)

        run = Run(recipe, Home(tmp_path), str(tmp_path), S3Connection(), [listen])
        run.cluster = SimpleNamespace(nodes=list(nodes))
        return run, lines

    return make


def test_every_kind_of_node_is_planned_once(run_on) -> None:
    other = replace(H100, card_bytes=100e9)
    nodes = {node(1, 1): found(H100), node(2, 1): found(H100), node(3, 1): found(other)}
    run, lines = run_on(nodes)
    check_run_memory(run, nodes)
    heads = [line for line in lines if "parameters" in line]
    assert [head.split(",")[0].split()[-1] for head in heads] == ["10.0.0.1", "10.0.0.3"]
    assert sum("of 80.0 GB" in line for line in lines) == sum("of 100.0 GB" in it for it in lines)


def test_a_node_that_is_too_small_is_named_with_the_sum_and_what_fits(run_on) -> None:
    nodes = {node(1, 1): found(H100), node(2, 1): found(TOO_SMALL)}
    run, _ = run_on(nodes)
    words = r"tiny: rollout engine would take .*: engine 2\.0, on a GPU .* of node 10\.0\.0\.2; "
    with pytest.raises(ResourceError, match=words):
        check_run_memory(run, nodes)


def test_on_the_cpu_it_is_the_memory_of_the_host(run_on) -> None:
    nodes = {node(1): found(replace(H100, host_bytes=2e9))}
    run, _ = run_on(nodes, device="cpu")
    with pytest.raises(ResourceError, match=r"update would take .* of 2\.0 GB: .*, on node 10"):
        check_run_memory(run, nodes)


def test_what_takes_no_work_is_not_planned_and_what_only_answers_not_for_training(run_on) -> None:
    nodes = {
        node(1, 2): found(replace(H100, num_cards=2)),
        node(2, 1): found(H100),
        node(3, 8, cpus=0): found(TOO_SMALL),
        node(4, 0): found(TOO_SMALL),
    }
    run, lines = run_on(nodes, num_gpus=2, shard=True)
    check_run_memory(run, nodes)
    (first, second) = (n for n, line in enumerate(lines) if "parameters" in line)
    assert any("update" in line for line in lines[first:second])
    assert [line.split()[1] for line in lines[second + 1 :]] == ["answers"]


def test_processes_of_other_nodes_take_no_memory_of_the_host(run_on) -> None:
    hosts = []
    for num_nodes in (1, 2):
        nodes = {node(1, 2): found(H100), node(2, 2): found(H100)}
        run, lines = run_on(nodes, num_gpus=2, num_nodes=num_nodes)
        check_run_memory(run, nodes)
        hosts.append([line for line in lines if " host " in line])
    assert hosts[0] == hosts[1] != []


def test_a_node_whose_disk_is_too_small_for_training_is_named(run_on) -> None:
    nodes = {node(1, 1): found(H100), node(2, 1): found(H100, free_bytes=1000)}
    run, _ = run_on(nodes)
    with pytest.raises(ResourceError, match=r"^node 10\.0\.0\.2: the run takes .* GB are free"):
        check_run_disk(run, nodes)
    check_run_disk(run, dict.fromkeys(nodes, found(H100)))

"""A flow whose work is on a Ray cluster ends there too, however it ends."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from relex.cluster import Slot, open_cluster
from relex.config import check_recipe
from tests.flows.small import small_recipe
from tests.flows.test_cancel_and_crash import all_listening, cancel
from tests.processes import listening
from tests.ray_nodes import RayNodes
from tests.waiting import wait_until, wait_until_gone

pytestmark = pytest.mark.slow
NUM_NODES, NUM_STEPS = 2, 200
WORKER = "relex.training.worker"


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """A cluster, on which the worker of `service` does its work."""
    # Short, because the paths of sockets must be.
    folder = Path(tempfile.mkdtemp(prefix="relex", dir="/tmp"))
    started = RayNodes(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELEX_CLUSTER", started.address)
        try:
            started.add(NUM_NODES)
            yield started
        finally:
            started.stop()
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def service_on_nodes(nodes: RayNodes, request: pytest.FixtureRequest):
    return request.getfixturevalue("service")


@pytest.mark.parametrize(("way", "state"), [("cancel", "CANCELLED"), ("kill", "CRASHED")])
def test_a_flow_that_is_ended_leaves_nothing_on_the_cluster(
    nodes: RayNodes, service_on_nodes, tmp_path: Path, way: str, state: str
) -> None:
    service = service_on_nodes
    deployment = service.deploy("relex-pipeline", "flows/pipeline.py:relex_pipeline")
    content = small_recipe(way)
    content["training"] |= {"steps": NUM_STEPS, "num_nodes": NUM_NODES}
    content["training"]["completions_per_device_batch"] //= NUM_NODES
    content["extrapolation"]["targets"] = [2 * NUM_STEPS]
    recipe = check_recipe(content, way)
    flow_run = service.start(deployment, recipe=recipe.model_dump(mode="json"))
    process = service.process(flow_run)
    # Nodes of this machine reach the flow's own S3 server.
    kept = service.home.s3 / "relex" / "runs" / recipe.run_id
    third = kept / "window" / "steps" / "step_000003.safetensors"
    wait_until(third.exists, "nothing was trained")

    ours = [process, *process.children(recursive=True), *nodes.processes("-m relex.")]
    assert sum(WORKER in " ".join(each.cmdline()) for each in ours) >= NUM_NODES
    ports = {port for each in ours for _, port in listening(each)}
    if way == "kill":
        process.kill()
    else:
        cancel(service, flow_run)
    wait_until_gone(ours)
    assert service.wait_until_ended(flow_run) == state
    assert ports & all_listening() == set()
    assert not third.with_name(f"step_{NUM_STEPS:06}.safetensors").exists()
    assert_free(nodes, tmp_path)


def assert_free(nodes: RayNodes, folder: Path) -> None:
    """Every slot can be taken at the same time, so no actor is left."""
    with open_cluster(nodes.address, print) as cluster:
        children = [
            cluster.start(Slot(1, 0), "node_child", [str(folder)], print) for _ in range(NUM_NODES)
        ]
        assert [child.receive()["event"] for child in children] == ["ready"] * NUM_NODES
        for child in children:
            child.end()
    wait_until(lambda: nodes.processes("-m relex.") == [], "a child is left on a node")

"""A Ray cluster of this machine."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from relex.cluster import Cluster, open_cluster
from tests.ray_nodes import RayNodes


@pytest.fixture(scope="module")
def ray_folder() -> Iterator[Path]:
    """Short, because the paths of sockets must be."""
    folder = Path(tempfile.mkdtemp(prefix="relex", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def ray_nodes(ray_folder: Path) -> Iterator[RayNodes]:
    """Three nodes."""
    nodes = RayNodes(ray_folder)
    try:
        nodes.add(3)
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture(scope="module")
def cluster(ray_nodes: RayNodes) -> Iterator[Cluster]:
    with open_cluster(ray_nodes.address, print) as connected:
        yield connected

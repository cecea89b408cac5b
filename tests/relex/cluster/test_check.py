"""What nodes have is compared with this machine; what differs is refused in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.cluster import Wanted
from relex.cluster.check import compare
from relex.cluster.look import Found, look
from relex.errors import ResourceError

HERE = Found(versions={"python": "3.11.7", "torch": "2.13.0"}, base_digest="abc")


def test_this_machine_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "marker").write_bytes(b"relex")
    found = look(Wanted(storage=str(tmp_path), marker="marker", base="toy"))
    assert found.fault == ""
    assert found.base_digest == Checkpoint(TOY_BASE).digest()
    assert found.versions.keys() >= {"python", "code", "torch", "transformers"}


def test_a_storage_that_is_not_reached_is_a_fault(tmp_path: Path) -> None:
    found = look(Wanted(storage=str(tmp_path), marker="marker"))
    assert "marker: cannot be read" in found.fault


def test_a_base_that_is_not_there_is_a_fault() -> None:
    assert "base '/nowhere/base'" in look(Wanted(base="/nowhere/base")).fault


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"versions": {"python": "3.11.7", "torch": "2.12.0"}},
            r"^node 10\.0\.0\.2: has torch 2\.12\.0 \(here 2\.13\.0\); install the same",
        ),
        ({"versions": {"python": "3.11.7"}}, r"has torch none \(here 2\.13\.0\)"),
        (
            {"fault": "s3://b: refused"},
            r"^node 10\.0\.0\.2: s3://b: refused; a run on a cluster is",
        ),
        ({"base_digest": "xyz"}, r"has another base under that name: digest xyz, here abc; put"),
    ],
)
def test_what_differs_is_named(change: dict[str, object], message: str) -> None:
    compare("node 10.0.0.2", HERE, HERE)
    with pytest.raises(ResourceError, match=message):
        compare("node 10.0.0.2", HERE.model_copy(update=change), HERE)


def test_the_command_without_a_cluster_says_what_to_set() -> None:
    command = [sys.executable, "-m", "flows.program", "cluster", "check"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("relex: RELEX_CLUSTER: is not set; give HOST:PORT")

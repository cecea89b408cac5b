"""The Ray cluster for Kubernetes and the script for SLURM, as far as one machine can check them.

docs/cluster.md says what was checked once, by hand.
"""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from relex.storage.embedded import free_port

ROOT = Path(__file__).parents[2]
RAY = ROOT / "deployments" / "ray"
MANIFEST = yaml.safe_load((RAY / "raycluster.yaml").read_text())
GROUPS = [MANIFEST["spec"]["headGroupSpec"], *MANIFEST["spec"]["workerGroupSpecs"]]

SRUN = """#!/bin/bash
echo "srun $*" >> "$SAID"
while [ "$1" != "$PWD/.venv/bin/ray" ]; do shift; done
exec "$@"
"""
RAY_STUB = """#!{python}
import os, socket, sys
with open(os.environ["SAID"], "a") as said:
    print("ray", *sys.argv[1:], os.environ["RAY_AUTH_MODE"], file=said)
if "--head" in sys.argv:
    with socket.create_server(("", int(sys.argv[sys.argv.index("--port") + 1]))) as server:
        while True:
            server.accept()
"""
RELEX = """#!/bin/bash
echo "relex $* on $RELEX_CLUSTER with a token of $(stat -c %a "$RAY_AUTH_TOKEN_PATH")" >> "$SAID"
"""


def test_the_cluster_has_the_pinned_ray() -> None:
    pins = (ROOT / "constraints.txt").read_text()
    assert f"ray=={MANIFEST['spec']['rayVersion']}\n" in pins
    assert (
        f'"ray[default]=={MANIFEST["spec"]["rayVersion"]}"' in (ROOT / "pyproject.toml").read_text()
    )


@pytest.mark.parametrize("group", GROUPS)
def test_secrets_come_from_the_environment_of_the_pods(group) -> None:
    (container,) = group["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "relex"}}]
    names = {variable["name"] for variable in container["env"]}
    assert "RAY_worker_niceness" in names
    assert not any(re.search("KEY|SECRET|TOKEN", name) for name in names)


def test_nobody_enters_without_a_token() -> None:
    assert MANIFEST["spec"]["authOptions"] == {"mode": "token"}


def test_the_script_starts_all_nodes_checks_them_and_runs(tmp_path: Path) -> None:
    said, port = tmp_path / "said", free_port()
    stubs = {"bin/srun": SRUN, ".venv/bin/relex": RELEX}
    stubs[".venv/bin/ray"] = RAY_STUB.format(python=sys.executable)
    for name, text in stubs.items():
        stub = tmp_path / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(text)
        stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SAID": str(said),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NUM_NODES": "4",
        "RELEX_RAY_PORT": str(port),
        "RELEX_HOME": str(tmp_path / "home"),
    }
    subprocess.run(
        ["bash", str(RAY / "relex.sbatch"), "recipe.yaml"],
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    lines = said.read_text().splitlines()
    head = os.uname().nodename
    assert any(
        re.match(rf"srun --nodes 1 .*--nodelist {head} .*ray start --head", x) for x in lines
    )
    assert any(re.match(rf"srun --nodes 3 --ntasks 3 --exclude {head} ", x) for x in lines)
    assert any(re.match(rf"ray start --head --block --port {port} .*token$", x) for x in lines)
    *_, checked, ran = [line for line in lines if line.startswith("relex")]
    address = rf"on [\d.]+:{port} with a token of 600"
    assert re.fullmatch(rf"relex cluster check recipe.yaml --nodes 4 {address}", checked)
    assert re.fullmatch(rf"relex run recipe.yaml {address}", ran)
    assert not list((tmp_path / "home").glob("ray-token*"))

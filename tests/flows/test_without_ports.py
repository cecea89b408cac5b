"""`relex run` needs no server: where no port can be opened it gives what the flow gives.

Where this machine permits it, the program runs in a network namespace without an interface, not
even the loopback, so that nothing answers on any port. Everywhere, every Python process of it also
refuses to bind a port; the test records which of the two held.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from relex.report import RunSummary

ROOT = Path(__file__).parents[2]
TOY = ROOT / "deployments" / "recipes" / "toy.yaml"
NAMESPACE = ["unshare", "--map-root-user", "--net"]
# Every Python process imports a module of this name when it starts.
GUARD = """
import errno
import socket

class Guarded(socket.socket):
    def bind(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise PermissionError(errno.EACCES, "a port was asked for")
        super().bind(address)

socket.socket = Guarded
"""
LISTEN = "import socket; socket.create_server(('127.0.0.1', 0))"
REACH = "import socket; s = socket.socket(); s.connect(('127.0.0.1', 9))"
Run = Callable[[Sequence[str], Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def run_without_ports(tmp_path_factory, record_testsuite_property) -> Run:
    """Runs Python where no port can be opened."""
    guard = tmp_path_factory.mktemp("guard")
    (guard / "sitecustomize.py").write_text(GUARD)
    try:
        permitted = subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        permitted = False
    prefix = NAMESPACE if permitted else []
    held = "namespace and guard" if permitted else "guard alone"
    record_testsuite_property("relex run without ports", held)
    print(f"no port by: {held}")

    def run(arguments: Sequence[str], home: Path) -> "subprocess.CompletedProcess[str]":
        environment: Mapping[str, str] = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT")},
            "PYTHONPATH": f"{guard}:{ROOT}",
            "RELEX_HOME": str(home),
        }
        command = [*prefix, sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    listened = run(["-c", LISTEN], guard)
    assert "a port was asked for" in listened.stderr, listened.stderr
    if permitted:
        assert "Network is unreachable" in run(["-c", REACH], guard).stderr
    return run


def result_of(home: Path) -> tuple[RunSummary, bytes]:
    """The summary of the only run in a home, and the bytes of its model."""
    (run,) = home.glob("s3/relex/runs/*")
    summary = RunSummary.model_validate_json((run / "report" / "summary.json").read_bytes())
    return summary, (run / "model" / "model.safetensors").read_bytes()


def check_same(flow_home: Path, recipe: Path, run_without_ports: Run, folder: Path) -> None:
    ended = run_without_ports(["-m", "flows.program", "run", str(recipe)], folder / "home")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    by_flow, model_by_flow = result_of(flow_home)
    alone, model_alone = result_of(folder / "home")
    assert alone.decision == by_flow.decision
    assert alone.benchmarks == by_flow.benchmarks
    assert model_alone == model_by_flow
    assert not (folder / "home" / "mlflow.db").exists()


def test_a_small_run_has_the_same_decision_and_model(
    whole_run, small_recipe_file, run_without_ports, tmp_path
):
    check_same(whole_run, small_recipe_file, run_without_ports, tmp_path)


@pytest.mark.slow
def test_the_shipped_toy_has_the_same_decision_and_model(
    starter, build_environment, run_without_ports, tmp_path
):
    recipe = yaml.safe_load(TOY.read_text())
    recipe["evaluation"]["engine"] = "transformers"  # vLLM opens a port for its own processes
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(recipe))
    home = tmp_path / "flow"
    ended = starter.run("flows.program", ["pipeline", str(path)], build_environment(home))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    check_same(home, path, run_without_ports, tmp_path)

"""A Ray cluster of this machine: nodes that differ in their loopback addresses."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from relex.storage.embedded import free_port
from tests.processes import command_line

ROOT = Path(__file__).parents[1]
CHILDREN = ROOT / "tests" / "relex" / "cluster"
OBJECT_STORE_BYTES = 80_000_000
NUM_STARTS = 5


class RayNodes:
    """Nodes with one CPU each, started one after the other; the first is the head."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.address = f"127.0.0.2:{free_port()}"
        self.folder = folder
        self.dashboard_port = 0
        self._running: list[subprocess.Popen[bytes]] = []
        paths = os.pathsep.join(map(str, [ROOT, CHILDREN]))
        self._environment = {
            **os.environ,
            "PYTHONPATH": paths,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_register_timeout_seconds": "600",
            # Ray would let its workers, and so our children, wait for all else on this machine.
            "RAY_worker_niceness": "0",
            "RELEX_HOME": str(folder / "home"),
            **environment,
        }

    def add(self, num_nodes: int) -> None:
        """Returns when they are part of the cluster."""
        for _ in range(num_nodes):
            # Ray gives a node 30 s to start, which a busy machine may not have.
            for _ in range(NUM_STARTS):
                if self._add():
                    break
            else:
                raise AssertionError(self._log().read_text())

    def kill(self, number: int) -> None:
        """As when a machine loses its power."""
        _kill_all([self._running[number]])

    def host_of(self, module: str) -> int:
        """The number of a node that runs it and is not the head; waits for one."""
        while True:
            for number, node in enumerate(self._running[1:], start=1):
                if node.poll() is None and _running(module, node.pid):
                    return number
            time.sleep(0.05)

    def processes(self, word: str) -> list[psutil.Process]:
        """Those on all nodes whose command line holds it."""
        return [each for node in self._running for each in _running(word, node.pid)]

    def stop(self) -> None:
        _kill_all(self._running)

    def _add(self) -> bool:
        number = len(self._running)
        port = self.address.rpartition(":")[2]
        role = ["--address", self.address]
        if not number:
            role = ["--head", "--port", port, "--temp-dir", str(self.folder / "s")]
            role += ["--include-dashboard", "true" if self.dashboard_port else "false"]
            role += ["--dashboard-port", str(self.dashboard_port or free_port())]
            role += ["--no-monitor", "--disable-usage-stats"]
            role += ["--ray-client-server-port", str(free_port())]
        command = [
            # They die with the tests.
            *(sys.executable, "-m", "relex.children", str(os.getpid())),
            *(sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"),
            *(*role, "--block", "--node-ip-address", f"127.0.0.{2 + number}", "--num-cpus", "1"),
            *("--object-store-memory", str(OBJECT_STORE_BYTES), "--include-log-monitor", "false"),
        ]
        with self._log().open("wb") as log:
            node = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while node.poll() is None:
            if b"--block" in self._log().read_bytes():
                self._running.append(node)
                return True
            time.sleep(0.1)
        return False

    def _log(self) -> Path:
        return self.folder / f"{len(self._running)}.log"


def _running(word: str, pid: int) -> list[psutil.Process]:
    """What a process has started and has the word in its command line."""
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if word in command_line(child)]


def _kill_all(nodes: list[subprocess.Popen[bytes]]) -> None:
    running = [psutil.Process(node.pid) for node in nodes if node.poll() is None]
    everything = [*running, *(child for one in running for child in one.children(recursive=True))]
    for process in everything:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    for node in nodes:
        node.wait()
    psutil.wait_procs(everything)

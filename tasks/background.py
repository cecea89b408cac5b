"""Processes that outlive the command that started them, until they are ended by another.

Each carries the home folder in its environment, and so do all that it starts itself, in whatever
session they are: so they are found again even when what started them was killed.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from relex.errors import ResourceError
from relex.home import Home
from relex.storage.atomic import write_atomic, writing
from tasks.services import STOP_SECONDS, end_processes, service_environment, terminate

MARK = "RELEX_SERVICE"
SERVERS = {"prefect", "mlflow", "s3"}
WORKER = "worker"
RUN_SECONDS = 30.0
"""How long a run may take to end its own processes, as after a cancel."""


class Background:
    """The background processes of one home, by name."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._file = home.root / "service.json"

    def log(self, name: str) -> Path:
        return self._home.root / "service" / f"{name}.log"

    @property
    def running(self) -> dict[str, int]:
        """Ports of the processes that live, by name; 0 for those that have none."""
        return {name: port for name, (_, port) in self.living().items()}

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], port: int = 0
    ) -> subprocess.Popen[bytes]:
        """Start `command` in a session of its own, with its output in `log(name)`."""
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, MARK: str(self._home.root)},
                start_new_session=True,
            )
        living = {name: (other.pid, port) for name, (other, port) in self.living().items()}
        record = json.dumps(living | {name: (process.pid, port)})
        write_atomic(self._file, record.encode())
        return process

    def stop(self) -> None:
        """End everything: the runs and their workers first, so that the servers learn about it.

        Raises ResourceError when a process cannot be ended.
        """
        named = {process: name for name, (process, _) in self.living().items()}
        workers = [process for process, name in named.items() if name.startswith(WORKER)]
        _end_runs(workers, _runs(self._members(), set(named), workers))
        end_processes(self._members())
        if left := self._members():
            raise ResourceError(f"processes {[process.pid for process in left]}: do not end")
        # Nothing is removed where nothing is recorded: the home may not be there, or be read only.
        if self._file.exists():
            with writing(self._file):
                self._file.unlink()

    def living(self) -> dict[str, tuple[psutil.Process, int]]:
        """Process and port by name, as recorded, of those that live."""
        if not self._file.exists():
            return {}
        recorded: dict[str, tuple[int, int]] = json.loads(self._file.read_text())
        ports = {pid: (name, port) for name, (pid, port) in recorded.items()}
        ours = (process for process in psutil.process_iter() if process.pid in ports)
        return {
            ports[process.pid][0]: (process, ports[process.pid][1])
            for process in ours
            if self._is_ours(process)
        }

    def _members(self) -> set[psutil.Process]:
        """Every living process of the service, with its descendants."""
        ours = {process for process in psutil.process_iter() if self._is_ours(process)}
        members = set(ours)
        for process in ours:
            with suppress(psutil.Error):
                members.update(process.children(recursive=True))
        return members

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            return alive and process.environ().get(MARK) == str(self._home.root)
        except psutil.Error:
            return False


def running_service(home: Home) -> dict[str, str]:
    """Settings with which a process uses the service of `home`; empty when not all of it runs."""
    ports = Background(home).running
    return service_environment(home, ports) if ports.keys() >= SERVERS else {}


def _runs(
    members: set[psutil.Process], named: set[psutil.Process], workers: Sequence[psutil.Process]
) -> list[psutil.Process]:
    """What workers started, and what is left of workers that were killed."""
    return [
        process
        for process in members - named
        for parent in [_parent(process)]
        if parent in workers or parent not in members
    ]


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.Error:
        return None


def _end_runs(workers: Sequence[psutil.Process], runs: Sequence[psutil.Process]) -> None:
    """A worker that is told to end takes no more runs and waits for those that it has."""
    for process in (*workers, *runs):
        terminate(process)
    psutil.wait_procs(runs, RUN_SECONDS)
    psutil.wait_procs(workers, STOP_SECONDS)

"""Processes that outlive the command that started them, until they are ended by another.

Each carries the home folder in its environment, and so do all that it starts itself, in whatever
session they are: so they are found again even when what started them was killed.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from relex.atomic import write_atomic
from relex.errors import ResourceError
from relex.home import Home

MARK = "RELEX_SERVICE"
WORKER = "worker"
RUN_SECONDS = 30.0
"""How long a run may take to end its own processes, as after a cancel."""

STOP_SECONDS = 10.0


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
        return {name: port for name, (_, port) in self._living().items()}

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
        living = self._living() | {name: (process.pid, port)}
        write_atomic(self._file, json.dumps(living, indent=1).encode())
        return process

    def stop(self) -> None:
        """End everything: the runs and their workers first, so that the servers learn about it.

        Raises ResourceError when a process cannot be ended.
        """
        workers = [
            psutil.Process(pid) for name, (pid, _) in self._living().items() if WORKER in name
        ]
        _end_runs(workers)
        _end(self._members())
        if left := self._members():
            raise ResourceError(f"processes {[process.pid for process in left]}: do not end")
        self._file.unlink(missing_ok=True)

    def _living(self) -> dict[str, tuple[int, int]]:
        """Process id and port by name, as recorded, of those that live."""
        if not self._file.exists():
            return {}
        recorded: dict[str, tuple[int, int]] = json.loads(self._file.read_text())
        return {
            name: (pid, port)
            for name, (pid, port) in recorded.items()
            if psutil.pid_exists(pid) and self._is_ours(psutil.Process(pid))
        }

    def _members(self) -> set[psutil.Process]:
        """Every living process of the service, with its descendants."""
        ours = {process for process in psutil.process_iter() if self._is_ours(process)}
        return ours | {member for process in ours for member in _descendants(process)}

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            return alive and process.environ().get(MARK) == str(self._home.root)
        except psutil.Error:
            return False


def _descendants(process: psutil.Process) -> Iterator[psutil.Process]:
    try:
        yield from process.children(recursive=True)
    except psutil.Error:
        return


def _end_runs(workers: Sequence[psutil.Process]) -> None:
    """A worker that is told to end takes no more runs and waits for those that it has."""
    runs = [run for worker in workers for run in worker.children()]
    for process in (*workers, *runs):
        _terminate(process)
    psutil.wait_procs(runs, RUN_SECONDS)
    psutil.wait_procs(workers, STOP_SECONDS)


def _end(processes: set[psutil.Process]) -> None:
    for process in processes:
        _terminate(process)
    _, alive = psutil.wait_procs(processes, STOP_SECONDS)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, STOP_SECONDS)


def _terminate(process: psutil.Process) -> None:
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        return

"""Our programs, started with all imports done: a fork in place of ten seconds of a processor.

Each is a process of its own, with the environment and the output that a shell would give it.
"""

import importlib
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from subprocess import CompletedProcess

import psutil

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PRELOADED = [
    __name__,
    *(
        "flows.program",
        "flows.commands",
        "flows.pipeline",
        "flows.sweep",
    ),
    *("boto3", "mlflow", "pyarrow", "transformers"),
]
# As our programs have it before they import Prefect and MLflow.
QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "MLFLOW_LOGGING_LEVEL": "WARNING"}


class Program:
    """A running `python -m MODULE ARGUMENTS`."""

    def __init__(self, process: ForkServerProcess, output: Path, errors: Path) -> None:
        self._process, self._output, self._errors = process, output, errors
        assert process.pid is not None
        self.tree = psutil.Process(process.pid)

    @property
    def output(self) -> str:
        """What it has printed until now."""
        return self._output.read_text()

    def wait_for_words(self, words: str) -> None:
        """Wait until it has printed them."""
        wait_until(lambda: words in self.output or not self._process.is_alive(), self.output)
        assert words in self.output, self.output + self._errors.read_text()

    def wait(self) -> CompletedProcess[str]:
        """Wait for its end."""
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return CompletedProcess(self.tree.pid, code, self.output, self._errors.read_text())

    def kill(self) -> None:
        """SIGKILL to the program alone, not to its children."""
        self._process.kill()
        self._process.join()


class Starter:
    """Starts programs; all of them use the Prefect server of the environment given here."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment, self._logs, self._number = {**environment, **QUIET}, logs, 0
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    @contextmanager
    def started(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> Iterator[Program]:
        """`python -m MODULE ARGUMENTS`, killed where the block leaves it running."""
        self._number += 1
        output, errors = (self._logs / f"{self._number}.{end}" for end in ("out", "err"))
        for path in (output, errors):
            path.touch()
        what = (module, list(arguments), dict(environment), output, errors)
        process = self._context.Process(target=_become, args=what)
        # The first start imports everything, and Prefect reads its settings when it is imported.
        before = dict(os.environ)
        os.environ.update({**self._environment, "PYTHONPATH": str(ROOT)})
        try:
            process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        program = Program(process, output, errors)
        try:
            yield program
        finally:
            program.kill()

    def run(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> CompletedProcess[str]:
        with self.started(module, arguments, environment) as program:
            return program.wait()


def _become(
    module: str, arguments: list[str], environment: dict[str, str], output: Path, errors: Path
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    for path, stream in ((output, sys.stdout), (errors, sys.stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream.fileno())
    sys.stdout.reconfigure(line_buffering=True)
    sys.argv = [module, *arguments]
    importlib.import_module(module).main()

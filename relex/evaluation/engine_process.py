"""The engine in a child process, seen from the parent."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from relex.candidates import Candidate
from relex.child_output import Event
from relex.children import Child
from relex.config import Sampling
from relex.evaluation.dtype import Dtype
from relex.evaluation.engine import Completion, EngineConfig, OnProgress, Request
from relex.evaluation.exchange import CANARY_FILE, COMPLETIONS_FILE, REQUESTS_FILE
from relex.evaluation.jsonl import read_jsonl, write_jsonl
from relex.storage.atomic import writing

WORKER = "relex.evaluation.worker"
QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore::FutureWarning"}


@dataclass(frozen=True)
class Generated:
    """Completions that can be trusted, and how they came about."""

    completions: list[Completion]
    engine: str
    dtype: Dtype
    swap_seconds: float
    generation_seconds: float


class EngineProcess:
    """The child starts at the first use."""

    def __init__(
        self,
        config: EngineConfig,
        canary: Sequence[Request],
        folder: Path,
        on_log: Callable[[str], None],
    ) -> None:
        """`canary`: a small batch that the base answers again and again to prove the engine;
        `folder`: for what the two processes exchange, removed at the end."""
        self._config, self._canary, self._on_log = config, canary, on_log
        self._folder = folder
        self._open = ExitStack()
        self._child: Child | None = None

    def close(self) -> None:
        """End the child."""
        self._open.close()
        self._child = None

    def generate(
        self,
        candidate: Candidate,
        requests: Sequence[Request],
        sampling: Sampling,
        on_progress: OnProgress,
    ) -> Generated:
        """One completion per request, in order.

        Returns only when the engine, with the base swapped back in, answers the canary as it did at
        its start. Raises EngineError when it does not, StageError when the child dies.
        """
        child = self._child or self._start()
        write_jsonl(self._folder / REQUESTS_FILE, requests)
        child.send(
            command="generate",
            candidate=candidate.model_dump(),
            sampling=sampling.model_dump(),
        )
        event = _wait(child, "generated", on_progress)
        child.send(command="canary")
        _wait(child, "sane", on_progress)
        return Generated(
            completions=read_jsonl(self._folder / COMPLETIONS_FILE, Completion),
            engine=self._engine,
            dtype=self._config.dtype,
            swap_seconds=event["swap_seconds"],
            generation_seconds=event["generation_seconds"],
        )

    def _start(self) -> Child:
        # Not a folder with a name of its own each time: what a process that was killed leaves
        # behind would add up.
        shutil.rmtree(self._folder, ignore_errors=True)
        with writing(self._folder):
            self._folder.mkdir(parents=True)
        self._open.callback(shutil.rmtree, self._folder)
        write_jsonl(self._folder / CANARY_FILE, self._canary)
        child = self._open.enter_context(
            Child.of_module(WORKER, [str(self._folder)], self._on_log, QUIET)
        )
        child.send(**self._config.model_dump(mode="json"))
        ready = _wait(child, "ready", lambda num_done: None)
        self._engine = str(ready["engine"])
        self._on_log(
            f"{self._engine} is ready after {ready['start_seconds']:.1f} s and computes in "
            f"{self._config.dtype}"
        )
        self._child = child
        return child


def _wait(child: Child, expected: str, on_progress: OnProgress) -> Event:
    """The next event of that name; progress on the way to it is passed on."""
    while (event := child.receive())["event"] != expected:
        on_progress(event["num_done"])
    return event

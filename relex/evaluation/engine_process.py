"""One engine in a child process, seen from the parent."""

import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from relex.candidates import Candidate
from relex.child_output import Event
from relex.children import Start, start_here
from relex.config import Sampling
from relex.evaluation.engine import Completion, EngineConfig, OnProgress, Request
from relex.evaluation.exchange import CANARY_FILE, COMPLETIONS_FILE, REQUESTS_FILE
from relex.evaluation.jsonl import read_jsonl, write_jsonl
from relex.storage.atomic import writing

WORKER = "relex.evaluation.worker"
QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore::FutureWarning"}
POLL_SECONDS = 0.05


class EngineProcess:
    """The child starts at once; what it is asked for are generators, which yield while it works, so
    that one thread waits for many."""

    def __init__(
        self,
        config: EngineConfig,
        canary: Sequence[Request],
        folder: Path,
        place: Mapping[str, str],
        on_log: Callable[[str], None],
        start: Start = start_here,
    ) -> None:
        """`canary`: a small batch that the base answers to prove the engine; `folder`: for what the
        two processes exchange, removed at the end; `start`: starts the child where the engine runs,
        which its environment `place` says more closely."""
        self._folder = folder
        self.name = ""
        self.poll_seconds = POLL_SECONDS
        self.swap_seconds = self.generation_seconds = 0.0
        # Not a folder with a name of its own each time: what a process that was killed leaves
        # behind would add up.
        shutil.rmtree(folder, ignore_errors=True)
        with writing(folder):
            folder.mkdir(parents=True)
        self._open = ExitStack()
        self._open.callback(shutil.rmtree, folder)
        write_jsonl(folder / CANARY_FILE, canary)
        self._child = self._open.enter_context(
            start(WORKER, [str(folder)], on_log, {**QUIET, **place}, folder)
        )
        self._child.send(**config.model_dump(mode="json"))

    def close(self) -> None:
        """End the child."""
        self._open.close()

    def start(self) -> Generator[None, None, float]:
        """Returns the seconds that it took until the engine was ready."""
        ready = yield from self._wait("ready")
        self.name = str(ready["engine"])
        return float(ready["start_seconds"])

    def generate(
        self,
        candidate: Candidate,
        requests: Sequence[Request],
        sampling: Sampling,
        on_progress: OnProgress,
    ) -> Generator[None, None, list[Completion]]:
        """One completion per request, in order. They can be trusted once `prove` has returned.

        Raises EngineError when the engine cannot take the weights, StageError when the child dies.
        """
        write_jsonl(self._folder / REQUESTS_FILE, requests)
        yield from self._ask("generate", candidate, sampling=sampling.model_dump())
        event = yield from self._wait("generated", on_progress)
        self.swap_seconds += event["swap_seconds"]
        self.generation_seconds += event["generation_seconds"]
        return read_jsonl(self._folder / COMPLETIONS_FILE, Completion)

    def prove(self, candidate: Candidate) -> Generator[None, None, None]:
        """Returns only when the engine's answers for the candidate can be trusted; raises
        EngineError when they cannot, StageError when the child dies."""
        yield from self._ask("prove", candidate)
        yield from self._wait("proven")

    def _ask(
        self, command: str, candidate: Candidate, **fields: Any
    ) -> Generator[None, None, None]:
        self._child.send(command=command, candidate=candidate.model_dump(), **fields)
        yield

    def _wait(
        self, expected: str, on_progress: OnProgress = lambda num_done: None
    ) -> Generator[None, None, Event]:
        """The next event of that name; progress on the way to it is passed on."""
        while True:
            try:
                event = self._child.receive(self.poll_seconds)
            except TimeoutError:
                yield
                continue
            if event["event"] == expected:
                return event
            on_progress(event["num_done"])

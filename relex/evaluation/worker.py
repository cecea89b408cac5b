"""The child process that generates: one engine, one candidate's weights at a time.

Its argument is a folder for requests and completions. It reads JSON lines: first the engine's
config, then commands. `generate` answers the requests with a candidate's weights; `prove` makes
sure that those were the engine's. Each command is answered by one event.
"""

import json
import sys
from pathlib import Path
from typing import Any

from relex.candidates import BASE, Candidate
from relex.child_side import child_main, emit
from relex.config import Sampling
from relex.evaluation.canary import Canary
from relex.evaluation.choose import build_engine
from relex.evaluation.engine import Engine, EngineConfig, Request, Stopwatch
from relex.evaluation.exchange import CANARY_FILE, COMPLETIONS_FILE, REQUESTS_FILE
from relex.evaluation.here import source_here
from relex.evaluation.jsonl import read_jsonl, write_jsonl


class Worker:
    """Runs commands on one engine."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        self._canary = Canary(engine, read_jsonl(folder / CANARY_FILE, Request))
        self._loaded, self._proven = BASE, {BASE}

    def run(self, command: dict[str, Any]) -> None:
        candidate = Candidate.model_validate(command["candidate"])
        if command["command"] == "generate":
            self._generate(candidate, Sampling.model_validate(command["sampling"]))
        else:
            self._prove(candidate)

    def _generate(self, candidate: Candidate, sampling: Sampling) -> None:
        requests = read_jsonl(self._folder / REQUESTS_FILE, Request)
        with Stopwatch() as swap:
            self._load(candidate)
        with Stopwatch() as generation:
            completions = self._engine.generate(requests, sampling, _emit_progress)
        write_jsonl(self._folder / COMPLETIONS_FILE, completions)
        emit("generated", swap_seconds=swap.seconds, generation_seconds=generation.seconds)

    def _load(self, candidate: Candidate) -> None:
        if candidate != self._loaded:
            self._engine.swap(candidate)
            self._loaded = candidate

    def _prove(self, candidate: Candidate) -> None:
        self._canary.check_weights(candidate)
        if candidate not in self._proven:
            self._canary.check_answers()
            self._loaded = BASE
            self._proven.add(candidate)
        emit("proven")


def main() -> None:
    config = source_here(EngineConfig.model_validate_json(sys.stdin.readline()))
    with Stopwatch() as start:
        engine = build_engine(config)
        worker = Worker(engine, Path(sys.argv[1]))
    emit("ready", engine=engine.name, start_seconds=start.seconds)
    for line in sys.stdin:
        worker.run(json.loads(line))


def _emit_progress(num_done: int) -> None:
    emit("progress", num_done=num_done)


if __name__ == "__main__":
    child_main(main, "generation")

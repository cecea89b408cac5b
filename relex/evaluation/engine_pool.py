"""All engines of a machine as one: requests are split between them.

Requests are cut into blocks that do not depend on how many engines there are, and an engine
answers a block as a batch of its own. The rounding of matrix products may differ with what else is
in a batch, so this is what makes a candidate's answers the same on one GPU and on eight. A block is
about as many requests as a GPU answers at once.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relex.candidates import Candidate
from relex.config import Sampling
from relex.errors import EngineError, StageError
from relex.evaluation.dtype import Dtype
from relex.evaluation.engine import Completion, EngineConfig, OnProgress, Request
from relex.evaluation.engine_process import EngineProcess

BLOCK_REQUESTS = 512

Steps = Generator[None, None, None]
"""Work of one engine; it yields while the engine is busy."""


@dataclass(frozen=True)
class Generated:
    """Completions that can be trusted, and how they came about."""

    completions: list[Completion]
    engine: str
    dtype: Dtype
    swap_seconds: float
    """Of the engine that took longest, like the other."""

    generation_seconds: float


@dataclass
class Work:
    """One measurement: blocks that wait, those that are answered, and how far each has come."""

    candidate: Candidate
    sampling: Sampling
    blocks: Sequence[Sequence[Request]]
    on_progress: OnProgress
    waiting: deque[int]
    answered: dict[int, list[Completion]] = field(default_factory=dict)
    num_done: dict[int, int] = field(default_factory=dict)

    def advance(self, block: int, num_done: int) -> None:
        self.num_done[block] = num_done
        self.on_progress(sum(self.num_done.values()))


class EnginePool:
    """The engines start at the first use."""

    def __init__(
        self,
        config: EngineConfig,
        canary: Sequence[Request],
        folder: Path,
        places: Sequence[Mapping[str, str]],
        on_log: Callable[[str], None],
    ) -> None:
        """`places`: one for each engine, see `engine_places`; the rest as `EngineProcess`."""
        self._config, self._canary, self._folder = config, canary, folder
        self._places, self._on_log = places, on_log
        self._engines: list[EngineProcess] = []

    def close(self) -> None:
        """End all engines."""
        while self._engines:
            self._engines.pop().close()

    def generate(
        self,
        candidate: Candidate,
        requests: Sequence[Request],
        sampling: Sampling,
        on_progress: OnProgress,
    ) -> Generated:
        """One completion per request, in order.

        Returns only when every engine that answered is proven for the candidate. What an engine
        leaves that dies, another answers. Raises EngineError when one cannot be trusted, StageError
        when the last one has died.
        """
        if not self._engines:
            self._start()
        starts = range(0, len(requests), BLOCK_REQUESTS)
        blocks = [requests[start : start + BLOCK_REQUESTS] for start in starts]
        work = Work(candidate, sampling, blocks, on_progress, deque(range(len(blocks))))
        for engine in self._engines:
            engine.swap_seconds = engine.generation_seconds = 0.0
        while work.waiting:
            self._side_by_side(lambda engine: _share(engine, work))
        return Generated(
            completions=[each for block in sorted(work.answered) for each in work.answered[block]],
            engine=self._engines[0].name,
            dtype=self._config.dtype,
            swap_seconds=max(engine.swap_seconds for engine in self._engines),
            generation_seconds=max(engine.generation_seconds for engine in self._engines),
        )

    def _start(self) -> None:
        for number, place in enumerate(self._places):
            folder = self._folder / f"engine-{number}"
            self._engines.append(
                EngineProcess(self._config, self._canary, folder, place, self._on_log)
            )
        self._side_by_side(self._say_ready)

    def _say_ready(self, engine: EngineProcess) -> Steps:
        seconds = yield from engine.start()
        self._on_log(
            f"{engine.name} is ready after {seconds:.1f} s and computes in {self._config.dtype}"
        )

    def _side_by_side(self, begin: Callable[[EngineProcess], Steps]) -> None:
        """Let every engine do its part; one that dies is lost, unless it is the last."""
        running = {engine: begin(engine) for engine in self._engines}
        while running:
            for engine, steps in list(running.items()):
                try:
                    next(steps)
                except StopIteration:
                    del running[engine]
                except EngineError:
                    raise
                except StageError as error:
                    del running[engine]
                    self._lose(engine, error)

    def _lose(self, engine: EngineProcess, error: StageError) -> None:
        self._engines.remove(engine)
        engine.close()
        if not self._engines:
            raise error
        self._on_log(f"{error}\nan engine has died; {len(self._engines)} go on without it")


def _share(engine: EngineProcess, work: Work) -> Steps:
    """Answer blocks as long as some are waiting, and prove the answers."""
    answered: dict[int, list[Completion]] = {}
    try:
        while work.waiting:
            block = work.waiting.popleft()
            answered[block] = []

            def advance(num_done: int, block: int = block) -> None:
                work.advance(block, num_done)

            answered[block] = yield from engine.generate(
                work.candidate, work.blocks[block], work.sampling, advance
            )
        if answered:
            yield from engine.prove(work.candidate)
    except StageError:
        work.waiting.extend(answered)
        raise
    work.answered |= answered

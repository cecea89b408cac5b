"""All engines of a machine or a cluster as one: requests are split between them.

Requests are cut into blocks that do not depend on how many engines there are, and an engine
answers a block as a batch of its own. The rounding of matrix products may differ with what else is
in a batch, so this is what makes a candidate's answers the same on one GPU and on eight. A block is
about as many requests as a GPU answers at once.
"""

from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relex.candidates import Candidate
from relex.children import Start, start_here
from relex.config import Sampling
from relex.errors import EngineError, StageError
from relex.evaluation.dtype import Dtype
from relex.evaluation.engine import Completion, EngineConfig, OnProgress, Request
from relex.evaluation.engine_process import POLL_SECONDS, EngineProcess

BLOCK_REQUESTS = 512
MOST_DEATHS = 3
"""So many engines may die of one block."""

Places = Callable[[], Sequence[Mapping[str, str]]]
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
    deaths: Counter[int] = field(default_factory=Counter)

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
        places: Places,
        on_log: Callable[[str], None],
        start: Start = start_here,
    ) -> None:
        """`places`: gives one for each engine, see `engine_places`, as many as there are now; the
        rest as `EngineProcess`."""
        self._config, self._canary, self._folder = config, canary, folder
        self._places, self._on_log, self._start = places, on_log, start
        self._engines: dict[int, EngineProcess] = {}
        self._given_up: set[int] = set()

    def close(self) -> None:
        """End all engines."""
        while self._engines:
            self._engines.popitem()[1].close()

    def generate(
        self,
        candidate: Candidate,
        requests: Sequence[Request],
        sampling: Sampling,
        on_progress: OnProgress,
    ) -> Generated:
        """One completion per request, in order.

        Returns only when every engine that answered is proven for the candidate. What an engine
        leaves that dies, another answers, and one is started in its place. Raises EngineError when
        an engine cannot be trusted or a block has ended too many, StageError when none starts.
        """
        starts = range(0, len(requests), BLOCK_REQUESTS)
        blocks = [requests[start : start + BLOCK_REQUESTS] for start in starts]
        work = Work(candidate, sampling, blocks, on_progress, deque(range(len(blocks))))
        for engine in self._engines.values():
            engine.swap_seconds = engine.generation_seconds = 0.0
        while work.waiting:
            self._fill()
            self._side_by_side(self._engines, lambda engine: _share(engine, work))
        engines = self._engines.values()
        return Generated(
            completions=[each for block in sorted(work.answered) for each in work.answered[block]],
            engine=next(engine.name for engine in engines),
            dtype=self._config.dtype,
            swap_seconds=max(engine.swap_seconds for engine in engines),
            generation_seconds=max(engine.generation_seconds for engine in engines),
        )

    def _fill(self) -> None:
        """Start an engine in every place that has none, but where one could not be started."""
        new = {}
        for number, place in enumerate(self._places()):
            if number not in self._engines.keys() | self._given_up:
                new[number] = EngineProcess(
                    self._config,
                    self._canary,
                    self._folder / f"engine-{number}",
                    place,
                    self._on_log,
                    self._start,
                )
        if not new and not self._engines:
            raise EngineError("no place for an engine is left; see the log for how they ended")
        self._engines |= new
        for engine in self._engines.values():
            engine.poll_seconds = POLL_SECONDS / len(self._engines)
        self._side_by_side(new, self._say_ready)
        self._given_up |= new.keys() - self._engines.keys()

    def _say_ready(self, engine: EngineProcess) -> Steps:
        seconds = yield from engine.start()
        self._on_log(
            f"{engine.name} is ready after {seconds:.1f} s and computes in {self._config.dtype}"
        )

    def _side_by_side(
        self, engines: Mapping[int, EngineProcess], begin: Callable[[EngineProcess], Steps]
    ) -> None:
        """Let each of them do its part; one that dies is lost."""
        running = {number: begin(engine) for number, engine in engines.items()}
        while running:
            for number, steps in list(running.items()):
                try:
                    next(steps)
                except StopIteration:
                    del running[number]
                except EngineError:
                    raise
                except StageError as error:
                    del running[number]
                    self._lose(number, error)

    def _lose(self, number: int, error: StageError) -> None:
        engine = self._engines.pop(number)
        engine.close()
        if not self._engines and not engine.name:
            # It could not even be started.
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
    except EngineError:
        raise
    except StageError as error:
        work.waiting.extend(answered)
        work.deaths[block] += 1
        if work.deaths[block] == MOST_DEATHS:
            first = sum(map(len, work.blocks[:block]))
            raise EngineError(
                f"{work.candidate.key}: its requests {first + 1} to "
                f"{first + len(work.blocks[block])} have ended {MOST_DEATHS} engines; the last: "
                f"{error}"
            ) from error
        raise
    work.answered |= answered

"""What engines are asked: the requests to one candidate, in blocks, and how far they have come.

Requests are cut into blocks that do not depend on how many engines there are, and an engine
answers a block as a batch of its own. The rounding of matrix products may differ with what else is
in a batch, so this is what makes a candidate's answers the same on one GPU and on eight. A block is
about as many requests as a GPU answers at once.
"""

from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from relex.candidates import Candidate
from relex.config import Sampling
from relex.errors import EngineError, LimitError, StageError
from relex.evaluation.engine import Completion, OnProgress, Request
from relex.evaluation.engine_process import EngineProcess

BLOCK_REQUESTS = 512
MOST_DEATHS = 3
"""So many engines may die of one block."""

Steps = Generator[None, None, None]
"""What one engine does; it yields while the engine is busy."""


@dataclass(eq=False)
class Work:
    """One measurement: blocks that wait, and completions that can be trusted."""

    candidate: Candidate
    requests: Sequence[Request]
    sampling: Sampling
    on_progress: OnProgress = lambda num_done: None
    answered: dict[int, list[Completion]] = field(default_factory=dict)
    error: EngineError | None = None
    """Why it cannot be done."""

    engine: str = ""
    swap_seconds: float = 0.0
    """Of the engine that took longest, like the other."""

    generation_seconds: float = 0.0

    def __post_init__(self) -> None:
        starts = range(0, len(self.requests), BLOCK_REQUESTS)
        self.blocks = [self.requests[start : start + BLOCK_REQUESTS] for start in starts]
        self.waiting = deque(range(len(self.blocks)))
        self._num_done: dict[int, int] = {}
        self._deaths: Counter[int] = Counter()

    @property
    def has_waiting(self) -> bool:
        """Whether there is something to do for one more engine."""
        return self.error is None and bool(self.waiting)

    @property
    def is_over(self) -> bool:
        return self.error is not None or len(self.answered) == len(self.blocks)

    @property
    def completions(self) -> list[Completion]:
        """One per request, in order."""
        return [each for block in sorted(self.answered) for each in self.answered[block]]

    def share(self, engine: EngineProcess) -> Steps:
        """Let the engine answer blocks as long as some are waiting, and prove its answers.

        What it leaves when it dies, or is not let to its end, waits again. Raises as the engine.
        """
        answered, block = dict[int, list[Completion]](), 0
        engine.swap_seconds = engine.generation_seconds = 0.0
        try:
            while self.has_waiting:
                block = self.waiting.popleft()
                answered[block] = []

                def advance(num_done: int, block: int = block) -> None:
                    self._num_done[block] = num_done
                    self.on_progress(sum(self._num_done.values()))

                answered[block] = yield from engine.generate(
                    self.candidate, self.blocks[block], self.sampling, advance
                )
            if answered:
                yield from engine.prove(self.candidate)
        except BaseException as error:
            self.waiting.extend(answered)
            self._note(error, block)
            raise
        self.answered |= answered
        self.engine = engine.name
        self.swap_seconds = max(self.swap_seconds, engine.swap_seconds)
        self.generation_seconds = max(self.generation_seconds, engine.generation_seconds)

    def _note(self, error: BaseException, block: int) -> None:
        """Find out whether it can still be done after an engine ended with it."""
        if isinstance(error, EngineError):
            self.error = error
        elif isinstance(error, StageError) and not isinstance(error, LimitError):
            self._deaths[block] += 1
            if self._deaths[block] == MOST_DEATHS:
                first = sum(map(len, self.blocks[:block]))
                self.error = EngineError(
                    f"{self.candidate.key}: its requests {first + 1} to "
                    f"{first + len(self.blocks[block])} have ended {MOST_DEATHS} engines; the "
                    f"last: {error}"
                )

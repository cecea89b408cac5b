"""All engines of a machine or a cluster as one: work is split between them, block by block.

What will be asked next may be said ahead: an engine for which nothing of the present work is left
begins with it. So candidates are measured side by side, while who asks takes them one by one, in
an order that does not depend on how many engines there are.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from relex.children import Start, start_here
from relex.errors import EngineError, LimitError, StageError
from relex.evaluation.engine import EngineConfig, Request
from relex.evaluation.engine_process import POLL_SECONDS, EngineProcess
from relex.evaluation.work import Steps, Work

Places = Callable[[], Sequence[Mapping[str, str]]]


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
        self._busy: dict[int, Steps] = {}
        self._given_up: set[int] = set()

    def close(self) -> None:
        """End all engines; what they have not finished waits again."""
        while self._busy:
            self._busy.popitem()[1].close()
        while self._engines:
            self._engines.popitem()[1].close()

    def generate(self, work: Work, ahead: Sequence[Work] = ()) -> None:
        """Do the work; `ahead` is what will be asked next, as far as is known, the first first.

        Returns only when every engine that answered is proven for the candidate. What an engine
        leaves that dies, another answers, and one is started in its place. Raises EngineError when
        an engine cannot be trusted or a block has ended too many, StageError when none starts.
        """
        while not work.is_over:
            self._fill()
            self._step([work, *ahead])
        if work.error is not None:
            raise work.error

    def _fill(self) -> None:
        """Start an engine in every place that has none, but where one could not be started."""
        for number, place in enumerate(self._places()):
            if number not in self._engines.keys() | self._given_up:
                folder = self._folder / f"engine-{number}"
                engine = EngineProcess(
                    self._config, self._canary, folder, place, self._on_log, self._start
                )
                self._engines[number], self._busy[number] = engine, self._say_ready(engine)
        if not self._engines:
            raise EngineError("no place for an engine is left; see the log for how they ended")
        for engine in self._engines.values():
            engine.poll_seconds = POLL_SECONDS / len(self._engines)

    def _say_ready(self, engine: EngineProcess) -> Steps:
        seconds = yield from engine.start()
        self._on_log(
            f"{engine.name} is ready after {seconds:.1f} s and computes in {self._config.dtype}"
        )

    def _step(self, wanted: Sequence[Work]) -> None:
        """Let each engine go on, one that is free with the first work that waits for it."""
        for number, engine in list(self._engines.items()):
            if number not in self._busy:
                work = next((work for work in wanted if work.has_waiting), None)
                if work is None:
                    continue
                self._busy[number] = work.share(engine)
            try:
                next(self._busy[number])
            except StopIteration:
                del self._busy[number]
            except LimitError:
                raise
            except StageError as error:
                self._lose(number, error)

    def _lose(self, number: int, error: StageError) -> None:
        del self._busy[number]
        engine = self._engines.pop(number)
        engine.close()
        if not engine.name:
            self._given_up.add(number)
            # An engine that was ready may have died just before: its place takes another.
            is_last = self._given_up.issuperset(range(len(self._places())))
            if isinstance(error, EngineError) or is_last:
                raise error
        self._on_log(f"{error}\nan engine has died; {len(self._engines)} go on without it")

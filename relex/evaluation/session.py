"""Measures candidates: the engines' processes generate, this one grades.

Grading starts processes of its own, which is only safe in a process that does not touch the GPU.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from relex.candidates import BASE, Candidate
from relex.checkpoints import Checkpoint
from relex.config import RewardTerm, RunRecipe
from relex.device import resolve_device
from relex.evaluation.cold import GREEDY, check_same_answers
from relex.evaluation.draws import Draw, draw_all, draws_of
from relex.evaluation.dtype import Dtype, choose_dtype
from relex.evaluation.engine import Completion, EngineConfig
from relex.evaluation.engine_pool import EnginePool, Places
from relex.evaluation.results import ANSWERS_FILE, SCORE_FILE, Score, part_name, write_answers
from relex.evaluation.scoring import grade, summarise
from relex.evaluation.weight_source import WeightSource
from relex.evaluation.work import Work
from relex.evaluation.workplace import Here, Workplace
from relex.problems import Problem
from relex.rewards import CheckedReward, build_reward, end_rewards, graded_by
from relex.storage.atomic import write_atomic

CANARY_REQUESTS = 16
EXCHANGE = ".relex-exchange"

OnMeasureProgress = Callable[[Candidate, str, int, int], None]
"""Called with the candidate, the benchmark, answers so far and answers in all."""


class Asked(NamedTuple):
    """What is measured at a time."""

    candidate: Candidate
    benchmark: str
    questions: range | None = None
    """Of the benchmark's in the order of their ids; all without."""


class EvaluationSession:
    """A context manager; the engines start at the first measure and end with the session."""

    def __init__(
        self,
        recipe: RunRecipe,
        source: WeightSource,
        benchmarks: Mapping[str, Sequence[Problem]],
        work: Path,
        on_progress: OnMeasureProgress,
        on_log: Callable[[str], None],
        dtype: Dtype | None = None,
        workplace: Workplace | None = None,
        source_there: WeightSource | None = None,
    ) -> None:
        """Tokenise all questions. Results will be in `work/<benchmark>/<candidate>/`. What is
        computed in is chosen by base and machine unless `dtype` says it. `workplace` is where the
        engines are, by default this machine, and `source_there` as they find the source.

        Raises RecipeError for a context that the base cannot read, ProblemError for a prompt that
        does not fit in it, RewardError for an unknown grader, and as `engine_places`.
        """
        self._recipe, self._folder, self._on_progress = recipe, work, on_progress
        self._graders = _graders(recipe, benchmarks)
        self._draws = draw_all(recipe, Path(source.base), benchmarks)
        if workplace is None or dtype is None:
            device = resolve_device(recipe.device)
            workplace = workplace or Here(device, recipe.evaluation)
            dtype = dtype or choose_dtype(Checkpoint(Path(source.base)), device)
        self._workplace = workplace
        self._config = EngineConfig(
            source=source_there or workplace.source(source),
            evaluation=recipe.evaluation,
            dtype=dtype,
            device=recipe.device,
            trust_remote_code=recipe.base.trust_remote_code,
        )
        draws = next(iter(self._draws.values()))[:CANARY_REQUESTS]
        self._canary = [draw.request for draw in draws]
        self._on_log = on_log
        self._engines = self._pool(self._config, workplace.places)
        self._ahead: list[Asked] = []
        self._works: dict[Asked, Work] = {}

    def _pool(self, config: EngineConfig, places: Places) -> EnginePool:
        folder, start = self._folder / EXCHANGE, self._workplace.start
        return EnginePool(config, self._canary, folder, places, self._on_log, start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engines.close()
        end_rewards(list(self._graders.values()))

    def expect(self, asked: Sequence[Asked]) -> None:
        """Say what will be measured next, as far as is known, in place of what was said before:
        engines that have nothing to do begin with it. Results do not depend on it."""
        self._ahead = list(asked)

    def measure(
        self, candidate: Candidate, benchmark: str, questions: range | None = None
    ) -> Score:
        """Generate and grade; keep the answers and, last, the score.

        With `questions` only those of the benchmark's questions in the order of their ids, which is
        the same for all candidates and has nothing to do with what they ask; the folder is then
        `work/<benchmark>/<candidate>/<part_name(questions)>/`.

        Raises EngineError when an engine's answers cannot be trusted, StageError when the last
        engine's process dies, RewardError when the grader fails.
        """
        asked = Asked(candidate, benchmark, questions)
        self._ahead = [each for each in self._ahead if each != asked]
        work = self._work(asked)
        self._engines.generate(work, [self._work(each) for each in self._ahead])
        del self._works[asked]
        exam, folder = self._recipe.exam(benchmark), self._folder / benchmark / candidate.key
        if questions is not None:
            folder /= part_name(questions)
        grader = self._graders[exam.grader]
        answers = grade(self._draws_of(asked), work.completions, grader, exam.correct_from)
        score = summarise(work, self._config.dtype, benchmark, graded_by(exam), answers)
        write_answers(folder / ANSWERS_FILE, answers)
        write_atomic(folder / SCORE_FILE, score.model_dump_json(indent=1).encode())
        return score

    def _draws_of(self, asked: Asked) -> Sequence[Draw]:
        draws = self._draws[asked.benchmark]
        return draws if asked.questions is None else draws_of(draws, asked.questions)

    def _work(self, asked: Asked) -> Work:
        """What engines are asked for it; begun already where it was expected."""
        if asked not in self._works:
            candidate, benchmark, _ = asked
            draws = self._draws_of(asked)
            self._works[asked] = Work(
                candidate,
                [draw.request for draw in draws],
                self._recipe.exam(benchmark).sampling,
                lambda num_done: self._on_progress(candidate, benchmark, num_done, len(draws)),
            )
        return self._works[asked]

    def check_cold(self, candidate: Candidate, folder: Path) -> None:
        """Raise EngineError unless `folder`, a checkpoint of the candidate, answers in a new engine
        as the candidate does in those that measured it. These end with it."""
        requests = [request.model_copy(update={"scored": True}) for request in self._canary]

        def answers(pool: EnginePool, candidate: Candidate) -> list[Completion]:
            work = Work(candidate, requests, GREEDY)
            try:
                pool.generate(work)
                return work.completions
            finally:
                # The new engine wants the memory.
                pool.close()

        swapped = answers(self._engines, candidate)
        with self._workplace.checkpoint(folder) as source:
            config = self._config.model_copy(update={"source": source})
            cold = answers(self._pool(config, lambda: self._workplace.places()[:1]), BASE)
        check_same_answers(candidate, folder, swapped, cold, self._config.dtype)


def _graders(recipe: RunRecipe, benchmarks: Iterable[str]) -> dict[str, CheckedReward]:
    """Each grader once, however many benchmarks use it, with its processes."""
    names = {recipe.exam(benchmark).grader for benchmark in benchmarks}
    return {name: build_reward(RewardTerm(reward=name), recipe.reward_seconds) for name in names}

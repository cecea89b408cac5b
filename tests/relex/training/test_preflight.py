from importlib.util import find_spec
from typing import Any

import pytest
import torch

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import Recipe, check_recipe
from relex.device import resolve_device
from relex.errors import RecipeError, ResourceError
from relex.training import (
    check_training,
    estimate_window_bytes,
    estimate_work_bytes,
)
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
    with pytest.raises(RecipeError, match=r"16 x num_gpus 3 must divide .* = 1024"):
        recipe(num_gpus=3)


def test_the_window_is_estimated_from_its_steps_and_dtype() -> None:
    base = Checkpoint(TOY_BASE)
    num_weights = sum(info.num_elements for info in base.tensors.values())
    assert estimate_window_bytes(recipe(), base) == int(10 * 2 * num_weights * 0.4)
    few = recipe(snapshot_steps=[5, 10], snapshot_dtype="float32")
    assert estimate_window_bytes(few, base) == 2 * 4 * num_weights


def test_the_work_folder_is_estimated_with_two_rolling_checkpoints() -> None:
    base = Checkpoint(TOY_BASE)
    num_weights = sum(info.num_elements for info in base.tensors.values())
    spool_bytes = (3 + 2 * 0.4) * 2 * num_weights
    rolling_bytes = 2 * 3 * 4 * num_weights
    assert estimate_work_bytes(recipe(), base) == int(spool_bytes + rolling_bytes)


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

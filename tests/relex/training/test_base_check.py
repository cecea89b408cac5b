"""What is said of a base before it is loaded, and a base whose experts transformers joins."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import Recipe, check_recipe
from relex.errors import RecipeError
from relex.training import TrainingJob, check_base, run_training
from relex.training.snapshots import kept_dtype
from relex.window import open_window

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 21,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
EXPERTS = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}


def saved(model: PreTrainedModel, folder: Path, dtype: torch.dtype) -> Checkpoint:
    model.to(dtype).save_pretrained(folder)
    AutoTokenizer.from_pretrained(TOY_BASE).save_pretrained(folder)
    return Checkpoint(folder)


def recipe_of(folder: Path, **training: Any) -> Recipe:
    toy = {"kind": "toy"}
    return check_recipe(
        {
            "name": "small",
            "device": "cpu",
            "base": {"path": str(folder)},
            "problems": {
                "train": {**toy, "split": "train"},
                "validation": {**toy, "split": "validation"},
                "test": [{"name": "toy", "source": {**toy, "split": "test"}}],
            },
            "rewards": [{"reward": "relex.toy.rewards:chatty"}],
            "training": {
                "steps": 2,
                "learning_rate": 1e-3,
                "prompts_per_step": 4,
                "completions_per_prompt": 4,
                "gradient_checkpointing": False,
                "max_completion_tokens": 8,
                **training,
            },
            "extrapolation": {"targets": [10]},
            "evaluation": {"grader": "exact_match"},
        },
        "small",
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_snapshots_that_cannot_hold_the_base_are_refused(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    base = saved(Qwen3ForCausalLM(Qwen3Config(**SIZES)), tmp_path, dtype)
    with pytest.raises(RecipeError, match=r"bfloat16 cannot hold .* float\d\d, .*: rounded, or"):
        check_base(recipe_of(tmp_path, snapshot_dtype="bfloat16"), base)
    for kept in ("rounded", "float32", "auto"):
        assert check_base(recipe_of(tmp_path, snapshot_dtype=kept), base) == []
    assert kept_dtype(recipe_of(tmp_path).training.snapshot_dtype, base) == "rounded"


def test_a_base_in_bfloat16_has_snapshots_of_its_own_dtype(tmp_path: Path) -> None:
    base = saved(Qwen3ForCausalLM(Qwen3Config(**SIZES)), tmp_path, torch.bfloat16)
    recipe = recipe_of(tmp_path)
    assert check_base(recipe, base) == []
    assert kept_dtype(recipe.training.snapshot_dtype, base) == "bfloat16"


def test_a_base_whose_tensors_transformers_joins_is_not_sharded(tmp_path: Path) -> None:
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**SIZES, **EXPERTS))
    base = saved(model, tmp_path, torch.bfloat16)
    sharded = {"num_gpus": 2, "shard": True, "completions_per_device_batch": 2}
    with pytest.raises(RecipeError, match=r"training\.shard: .* joins or leaves out .*experts"):
        check_base(recipe_of(tmp_path, **sharded), base)
    assert check_base(recipe_of(tmp_path), base) == []


@pytest.mark.slow
def test_a_window_of_experts_has_the_names_of_the_base(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**SIZES, **EXPERTS))
    base = saved(model, tmp_path / "base", torch.bfloat16)
    recipe = recipe_of(base.folder, snapshot_dtype="float32")
    job = TrainingJob(
        recipe=recipe,
        base=str(base.folder),
        window=str(tmp_path / "window"),
        work=str(tmp_path / "work"),
    )
    run_training(job, lambda _: None, print)
    window = open_window(job.window, base=base)
    assert window.tensors.keys() == base.tensors.keys()
    name = "model.layers.1.mlp.experts.3.up_proj.weight"
    moved = window.read(2, name) - base.read(name).float()
    assert 0 < float(moved.abs().max()) < 1e-2

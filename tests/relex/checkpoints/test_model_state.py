"""Tiny random models of kinds that transformers renames, joins or cuts when it loads them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    PreTrainedModel,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from relex.checkpoints import Checkpoint
from relex.checkpoints.model_state import saved_state, untrained_names
from relex.errors import CheckpointError

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
VISION = {"hidden_size": 32, "intermediate_size": 64}
LEFTOVERS = {
    "model.layers.0.self_attn.rotary_emb.inv_freq": torch.rand(4),
    "mtp.layers.0.weight": torch.rand(8, 8).bfloat16(),
}


def dense(tied: bool) -> PreTrainedModel:
    return Qwen3ForCausalLM(Qwen3Config(**SIZES, tie_word_embeddings=tied))


def experts() -> PreTrainedModel:
    more = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**SIZES, **more))


def with_vision_tower() -> PreTrainedModel:
    vision = {"num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 16, "patch_size": 8}
    config = Gemma3Config(text_config=SIZES, vision_config=VISION | vision, mm_tokens_per_image=1)
    return Gemma3ForConditionalGeneration(config)


def with_linear_attention() -> PreTrainedModel:
    linear = {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
    heads = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    vision = {"depth": 2, "num_heads": 4, "out_hidden_size": 32, "num_position_embeddings": 16}
    config = Qwen3_5Config(
        text_config=SIZES | {"num_hidden_layers": 4} | linear | heads,
        vision_config=VISION | vision,
    )
    return Qwen3_5ForConditionalGeneration(config)


KINDS: dict[str, Callable[[], PreTrainedModel]] = {
    "tied": lambda: dense(tied=True),
    "untied": lambda: dense(tied=False),
    "experts": experts,
    "vision tower": with_vision_tower,
    "linear attention": with_linear_attention,
}
NUM_UNTRAINED = {"linear attention": 33}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def base(kind: str, tmp_path: Path) -> Checkpoint:
    torch.manual_seed(0)
    KINDS[kind]().bfloat16().save_pretrained(tmp_path / "base")
    return Checkpoint(tmp_path / "base")


def trained(base: Checkpoint) -> PreTrainedModel:
    """The model as training has it, every parameter moved."""
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model


def test_a_model_s_state_has_the_base_s_names_and_what_the_model_lacks(
    kind: str, base: Checkpoint
) -> None:
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    found = saved_state(model, model.state_dict(), base)
    assert found.keys() == base.tensors.keys()
    for name in base.tensors:
        assert torch.equal(found[name].float(), base.read_tensor(name).float())
    assert len(untrained_names(base, False)) == NUM_UNTRAINED.get(kind, 0)


def test_a_checkpoint_of_the_state_is_the_model_that_was_trained(
    base: Checkpoint, tmp_path: Path
) -> None:
    model = trained(base)
    found = saved_state(model, model.state_dict(), base)
    folder = tmp_path / "trained"
    folder.mkdir()
    save_file(
        {name: tensor.contiguous() for name, tensor in found.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    (folder / "config.json").write_bytes((base.folder / "config.json").read_bytes())
    again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())


def test_leftovers_in_the_base_are_carried_over(tmp_path: Path) -> None:
    dense(tied=True).bfloat16().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file(load_file(file) | LEFTOVERS, file, {"format": "pt"})
    base = Checkpoint(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    found = saved_state(model, model.state_dict(), base)
    assert sorted(untrained_names(base, False)) == sorted(LEFTOVERS)
    assert all(torch.equal(found[name], tensor) for name, tensor in LEFTOVERS.items())


def test_a_model_with_more_than_the_base_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    dense(tied=False).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    kept = {name: t for name, t in load_file(file).items() if name != "lm_head.weight"}
    save_file(kept, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"makes of the base: has lm_head\.weight, which"):
        untrained_names(Checkpoint(tmp_path), False)


def test_a_base_that_is_no_language_model_is_refused(tmp_path: Path) -> None:
    dense(tied=True).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"model_type": "resnet"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="transformers makes no causal language model of it"):
        untrained_names(Checkpoint(tmp_path), False)

"""Tiny random models of kinds that transformers renames, joins or cuts when it loads them."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
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

from relex.checkpoints import TOY_BASE, Checkpoint, write_checkpoint

SIZES = {
    "vocab_size": 64,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 128,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
VISION = {"hidden_size": 32, "intermediate_size": 64}


def dense(tied: bool) -> PreTrainedModel:
    return Qwen3ForCausalLM(Qwen3Config(**SIZES, tie_word_embeddings=tied))


def experts() -> PreTrainedModel:
    more = {"moe_intermediate_size": 128, "num_experts": 4, "num_experts_per_tok": 2}
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**SIZES, **more))


def with_vision_tower() -> PreTrainedModel:
    vision = {"num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 16, "patch_size": 8}
    config = Gemma3Config(text_config=SIZES, vision_config=VISION | vision, mm_tokens_per_image=1)
    return Gemma3ForConditionalGeneration(config)


def with_linear_attention() -> PreTrainedModel:
    linear = {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
    heads = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    vision = {"depth": 2, "num_heads": 4, "out_hidden_size": 128, "num_position_embeddings": 16}
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


def save_with_snapshot(kind: str, folder: Path) -> Path:
    """`base`, with the toy's tokenizer, and `checkpoint-1`, whose tensors are the base's turned
    upside down."""
    torch.manual_seed(0)
    model = KINDS[kind]()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    model.bfloat16().save_pretrained(folder / "base")
    AutoTokenizer.from_pretrained(TOY_BASE).save_pretrained(folder / "base")
    base = Checkpoint(folder / "base")
    turned = ((name, base.read_tensor(name).flip(0)) for name in base.tensors)
    write_checkpoint(folder / "checkpoint-1", base, turned)
    return folder

"""Tiny models, and their numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from relex.memory import Model, read_model

KINDS: dict[str, Any] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 96,
    "bos_token_id": None,
    "eos_token_id": 1,
}


@pytest.fixture
def tiny(tmp_path) -> Callable[..., tuple[Any, Model]]:
    """A tiny model with float32 weights, and its numbers as they are read from its config."""

    def make(kind: str, *, tied: bool = True, **shape: int) -> tuple[Any, Model]:
        config_class, model_class = KINDS[kind]
        torch.manual_seed(0)
        model = model_class(config_class(**SHAPE | shape, tie_word_embeddings=tied)).float()
        folder = Path(tmp_path) / f"{kind}-{tied}-{len(list(tmp_path.iterdir()))}"
        model.config.save_pretrained(folder)
        return model.train(), read_model(str(folder))

    return make

"""Adapters of a tiny model, saved by PEFT."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen3Config, Qwen3ForCausalLM

from relex.checkpoints import Checkpoint
from relex.extrapolation import Factors, fit_factors
from relex.window import open_window

STEPS = (2, 4, 6, 8, 12)
SPECIAL = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "patterns": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.self_attn.q_proj": 3}},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "saved": {"modules_to_save": ["norm"]},
}


def new_base(folder: Path) -> Path:
    """A tiny Qwen3 in float32."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=40,
        hidden_size=24,
        intermediate_size=36,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=8,
        tie_word_embeddings=False,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def new_adapters(base: Path, folder: Path, **options: object) -> Path:
    """Adapters at STEPS that drift along a line with noise; B starts at zero."""
    config = LoraConfig(
        **{"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "down_proj"], **options}
    )
    model = get_peft_model(Qwen3ForCausalLM.from_pretrained(base), config)
    generator = torch.Generator().manual_seed(1)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    start = {n: p.detach().clone() for n, p in trained.items()}
    drift = {n: 1e-3 * torch.randn(p.shape, generator=generator) for n, p in trained.items()}
    for step in STEPS:
        for name, parameter in trained.items():
            noise = 5e-4 * torch.randn(parameter.shape, generator=generator)
            parameter.data = start[name] + step * drift[name] + noise
        with_base = "embed_tokens" in config.target_modules
        model.save_pretrained(folder / f"checkpoint-{step}", save_embedding_layers=with_base)
    return folder


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory) -> Path:
    return new_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="session")
def adapters_of(base_folder, tmp_path_factory):
    """The folder of adapters of a kind, made once."""
    made: dict[str, Path] = {}

    def adapters(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[kind] = new_adapters(base_folder, folder, **SPECIAL[kind])
        return made[kind]

    return adapters


@pytest.fixture
def base(base_folder) -> Checkpoint:
    return Checkpoint(base_folder)


@pytest.fixture
def broken(adapters_of, tmp_path) -> Path:
    """A copy of plain adapters, to be damaged."""
    return Path(shutil.copytree(adapters_of("plain"), tmp_path / "broken"))


@pytest.fixture(scope="session")
def steps() -> tuple[int, ...]:
    return STEPS


@pytest.fixture(scope="session")
def fit() -> Callable[..., Factors]:
    """Fits a folder of adapters on the CPU."""

    def fit(folder: Path, base: Checkpoint, out: Path, **options: Any) -> Factors:
        window = open_window(str(folder), base=base)
        return fit_factors(window, base, out, device="cpu", **options)

    return fit

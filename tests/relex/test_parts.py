"""Parts against the modules of models that transformers builds."""

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from relex.errors import InputError
from relex.parts import ALL, WORDS, Part, find_part, num_layers, place_of

SIZES = {
    "vocab_size": 16,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 4,
}
USUAL = ("model.layers", "mlp", "self_attn")
MODELS = {
    "Qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES), *USUAL),
    "Qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES), *USUAL),
    "Qwen3-MoE": (Qwen3MoeForCausalLM, Qwen3MoeConfig(**SIZES, num_experts=2), *USUAL),
    "Llama": (LlamaForCausalLM, LlamaConfig(**SIZES), *USUAL),
    "Gemma3": (Gemma3ForCausalLM, Gemma3TextConfig(**SIZES), *USUAL),
    "GPT-2": (
        GPT2LMHeadModel,
        GPT2Config(n_embd=8, n_layer=4, n_head=2),
        "transformer.h",
        "mlp",
        "attn",
    ),
    "GPT-NeoX": (
        GPTNeoXForCausalLM,
        GPTNeoXConfig(**SIZES),
        "gpt_neox.layers",
        "mlp",
        "attention",
    ),
}


@pytest.mark.parametrize("family", MODELS)
def test_layers_and_kinds_are_the_modules_of_the_model(family: str) -> None:
    build, config, layers, mlp, attention = MODELS[family]
    with torch.device("meta"):
        model = build(config)
    names = {id(p): name for name, p in model.named_parameters(remove_duplicate=False)}

    def under(module: torch.nn.Module) -> set[str]:
        return {names[id(parameter)] for parameter in module.parameters()}

    found = model.get_submodule(layers)
    assert num_layers(names.values()) == len(found) == 4
    for number, layer in enumerate(found):
        norms = {name for name in under(layer) if "norm" in name or ".ln_" in name}
        modules = {"mlp": layer.get_submodule(mlp), "attention": layer.get_submodule(attention)}
        assert Part((number, number)).names(names.values()) == under(layer)
        for kind, module in modules.items():
            expected = under(module) - norms
            assert expected
            assert Part((number, number), kind).names(names.values()) == expected
    head = under(model.get_input_embeddings()) | under(model.get_output_embeddings())
    positions = {name for name in names.values() if ".wpe." in name}
    assert find_part("embeddings").names(names.values()) == head | positions


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.7.mlp.experts.3.up_proj.weight", (7, "mlp")),
        ("model.layers.7.block_sparse_moe.gate.weight", (7, "mlp")),
        ("model.layers.7.linear_attn.A_log", (7, "attention")),
        ("model.layers.7.self_attn.q_norm.weight", (7, "")),
        ("model.language_model.layers.7.mlp.up_proj.weight", (7, "mlp")),
        ("model.vision_tower.vision_model.encoder.layers.7.mlp.fc1.weight", (None, "")),
        ("model.visual.blocks.7.attn.qkv.weight", (None, "")),
        ("model.norm.weight", (None, "")),
        ("b", (None, "")),
    ],
)
def test_the_place_of_a_name(name: str, place: tuple[int | None, str]) -> None:
    assert place_of(name) == place


PARTS = [
    ALL,
    *map(lambda kind: Part(None, kind), WORDS),
    *(Part(layers, kind) for layers in ((0, 0), (2, 3), (9, 10)) for kind in ("", "mlp")),
]


def test_a_text_names_one_part_and_is_a_plain_file_name() -> None:
    assert len({part.text for part in PARTS}) == len(PARTS)
    assert all(find_part(part.text) == part for part in PARTS)
    assert all(set(part.text) <= set("0123456789-.abcdefghijklmnopqrstuvwxyz") for part in PARTS)


def test_parts_have_words() -> None:
    assert find_part("20-29.mlp").words == "MLPs of layers 20 to 29"
    assert find_part("7.attention").words == "attention of layer 7"
    assert find_part("20-29").words == "layers 20 to 29"
    assert find_part("embeddings").words == "embeddings and head"


@pytest.mark.parametrize(
    "text", ["all", "3-2", "2-2", "02", "2-", ".mlp", "2.", "2mlp", "mlp.2", "2.embeddings", "MLP"]
)
def test_a_text_that_names_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"part {text}: is none; give layers as 20-29 or 7"):
        find_part(text)


def test_a_part_of_nothing_is_refused_with_what_there_is() -> None:
    names = ["model.layers.0.mlp.up.weight", "model.layers.1.mlp.up.weight", "lm_head.weight"]
    with pytest.raises(
        InputError,
        match="part 2-9: the base has no such tensor; it has 2 layers, counted from 0, and of the "
        "kinds mlp, embeddings",
    ):
        find_part("2-9").names(names)
    with pytest.raises(InputError, match="it has 0 layers, counted from 0, and of the kinds none"):
        find_part("mlp").names(["a", "b"])

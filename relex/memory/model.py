"""The numbers of a model that decide how much memory it takes."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from relex.errors import CheckpointError


@dataclass(frozen=True)
class Model:
    """A causal language model in numbers; sizes are numbers of elements."""

    num_parameters: int
    """Tied matrices count once."""

    num_vocabulary_parameters: int
    """Of `num_parameters`, those of embeddings and output layer."""

    vocabulary_size: int
    num_layers: int
    hidden_size: int

    intermediate_size: int
    """Of the MLP; with experts, of all that one token passes through."""

    query_size: int
    """Attention heads x their size."""

    key_value_size: int
    """Key-value heads x their size."""

    has_query_norm: bool
    """Whether queries and keys are normalised, as in Qwen3."""

    linears: tuple[tuple[str, int, int], ...]
    """Name, inputs and outputs of every linear layer but the output layer."""

    @property
    def num_layer_parameters(self) -> int:
        """Of one layer, on average."""
        return (self.num_parameters - self.num_vocabulary_parameters) // self.num_layers

    def cache_bytes_per_token(self, element_bytes: int) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.num_layers * self.key_value_size * element_bytes

    def num_adapter_parameters(self, rank: int, targets: tuple[str, ...]) -> int:
        """Of LoRA on the linear layers whose names end in one of `targets`; empty takes all."""
        return sum(
            rank * (num_inputs + num_outputs)
            for name, num_inputs, num_outputs in self.linears
            if not targets or any(f".{name}".endswith(f".{target}") for target in targets)
        )


def read_model(base: str, revision: str = "main", *, trust_remote_code: bool = False) -> Model:
    """The numbers of a base, a folder or a repository on the Hub, from its config alone.

    Raises CheckpointError when transformers cannot make a model of it.
    """
    arguments: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(base, revision=revision, **arguments)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, **arguments)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"base {base!r}: no model can be made of it: {reason}") from error
    return _numbers_of(model)


def _numbers_of(model: Any) -> Model:
    text = model.config.get_text_config()
    num_heads = getattr(text, "num_attention_heads", None) or 1
    num_pairs = getattr(text, "num_key_value_heads", None) or num_heads
    head_size = getattr(text, "head_dim", None) or text.hidden_size // num_heads
    intermediate = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    if getattr(text, "num_experts_per_tok", None):
        intermediate = text.num_experts_per_tok * getattr(
            text, "moe_intermediate_size", intermediate
        )
    vocabulary = {
        id(layer.weight): layer.weight.numel()
        for layer in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    return Model(
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        num_vocabulary_parameters=sum(vocabulary.values()),
        vocabulary_size=text.vocab_size,
        num_layers=text.num_hidden_layers,
        hidden_size=text.hidden_size,
        intermediate_size=intermediate,
        query_size=num_heads * head_size,
        key_value_size=num_pairs * head_size,
        has_query_norm=any(name.endswith("q_norm") for name, _ in model.named_modules()),
        linears=tuple(
            (name, layer.in_features, layer.out_features)
            for name, layer in model.named_modules()
            if isinstance(layer, torch.nn.Linear) and layer is not model.get_output_embeddings()
        ),
    )

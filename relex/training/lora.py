"""LoRA by PEFT: adapters are trained in place of the weights."""

import json
from collections.abc import Iterator
from typing import Any

import peft
import torch
from transformers import BitsAndBytesConfig

from relex.checkpoints import TensorInfo
from relex.config.lora import LoraConfig
from relex.errors import TrainingError
from relex.training.adapter import Adapter

ADAPTER = "default"
"""Name that PEFT gives the adapter that is trained."""


def peft_config(config: LoraConfig, model: Any) -> peft.LoraConfig:
    """PEFT's own; raises TrainingError when the model has no module that a target names."""
    names = [name for name, _ in model.named_modules()]
    for target in config.targets:
        if not any(f".{name}".endswith(f".{target}") for name in names):
            raise TrainingError(
                f"training.lora.targets: the base has no module {target}; choose from the ends of "
                f"its names, such as {', '.join(_linear(model))}"
            )
    return peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=list(config.targets) or "all-linear",
        task_type="CAUSAL_LM",
    )


def quantization() -> BitsAndBytesConfig:
    """4 bit as in QLoRA (arXiv 2305.14314)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def adapter_of(model: peft.PeftModel, base: str) -> Adapter:
    """The same for the same recipe, wherever the base lies here; `base` is its name there."""
    state = sorted(adapter_state(model).items())
    found = model.peft_config[ADAPTER].to_dict() | {"base_model_name_or_path": base}
    listed = {key: sorted(it) if isinstance(it, set) else it for key, it in found.items()}
    return Adapter(
        schema={name: TensorInfo(tuple(tensor.shape), torch.float32) for name, tensor in state},
        config=json.dumps(listed, indent=2, sort_keys=True),
    )


def adapter_state(model: peft.PeftModel) -> dict[str, torch.Tensor]:
    """The adapter's tensors by PEFT's names, on the model's device."""
    state: dict[str, torch.Tensor] = peft.get_peft_model_state_dict(
        model, adapter_name=ADAPTER, save_embedding_layers=False
    )
    return state


@torch.no_grad()
def merged_parameters(model: peft.PeftModel) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights with the adapter, by the base's names and in its dtypes; the model's own stay.

    One is held at a time.
    """
    base: Any = model.get_base_model()
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            continue
        name = name.removeprefix("base_model.model.")
        module, _, leaf = name.rpartition(".base_layer.")
        if leaf == "weight":
            delta = base.get_submodule(module).get_delta_weight(ADAPTER)
            parameter = (parameter.float() + delta.float()).to(parameter.dtype)
        yield name.replace(".base_layer.", "."), parameter


def train_in_float32(model: peft.PeftModel) -> None:
    """TRL casts the adapters of a base in 4 bit to bfloat16, where small updates are lost."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _linear(model: Any) -> list[str]:
    linear = [name for name, it in model.named_modules() if isinstance(it, torch.nn.Linear)]
    return sorted({name.rpartition(".")[2] for name in linear})

"""Which engine generates the completions of a training."""

from importlib.util import find_spec
from typing import Literal

from relex.config.recipe import Recipe
from relex.device import resolve_device


def rollout_engine(recipe: Recipe) -> Literal["transformers", "vllm", "vllm_server"]:
    """The recipe's engine, where `auto` takes vLLM on a GPU where it is installed.

    Raises ResourceError as `resolve_device`.
    """
    config = recipe.training
    if config.rollouts.engine != "auto":
        return config.rollouts.engine
    in_4_bit = config.lora is not None and config.lora.quantize
    has_vllm = find_spec("vllm") is not None and resolve_device(recipe.device) == "cuda"
    return "vllm" if has_vllm and not in_4_bit else "transformers"

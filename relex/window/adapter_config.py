"""What an adapter_config.json of PEFT says about the displacement that an adapter stands for."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from relex.errors import WindowError
from relex.strict import Strict

CONFIG_FILE = "adapter_config.json"

PLAIN_STARTS = (True, None, "gaussian", "orthogonal", "eva")
"""Values of `init_lora_weights` with which the product is zero before training."""

REFUSED = {
    "use_dora": "DoRA rescales the columns of the weights",
    "layer_replication": "layers are repeated",
    "lora_bias": "biases are trained beside the product",
    "target_parameters": "parameters are adapted that are not modules of their own",
    "trainable_token_indices": "single rows of the embedding are trained",
    "alora_invocation_tokens": "the adapter acts on part of the text only",
    "megatron_config": "the layers are parallel ones of Megatron",
}
"""Fields that, when set, make a displacement that is no plain product."""


def _check_expression(expression: str) -> str:
    try:
        _compiled(expression)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{expression!r} is no regular expression: {error}") from error
    return expression


Expression = Annotated[str, AfterValidator(_check_expression)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class AdapterConfig(Strict):
    """The parts of a LoRA config that decide what `scale * B A` is."""

    r: Annotated[int, Field(gt=0)]
    """Rank, unless `rank_pattern` has another one for the module."""

    lora_alpha: Finite
    """Numerator of the scale, unless `alpha_pattern` has another one for the module."""

    use_rslora: bool = False
    """Whether the scale divides by the root of the rank, not by the rank."""

    rank_pattern: dict[Expression, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    """Ranks by regular expressions of module names."""

    alpha_pattern: dict[Expression, Finite] = Field(default_factory=dict)
    """Numerators by regular expressions of module names."""

    fan_in_fan_out: bool = False
    """Whether weights are stored as inputs x outputs, so that the product is transposed."""

    def scale(self, module: str) -> float:
        """Factor on B A of a module, by its full name."""
        alpha = _matching(self.alpha_pattern, module, self.lora_alpha)
        rank = self.rank(module)
        return alpha / (rank**0.5 if self.use_rslora else rank)

    def rank(self, module: str) -> int:
        """Rows of A of a module."""
        return int(_matching(self.rank_pattern, module, self.r))


def parse_adapter_config(text: str, path: str) -> AdapterConfig:
    """Raises WindowError when it cannot be read or describes more than products `scale * B A`;
    `path` names it in messages."""
    try:
        found: dict[str, Any] = json.loads(text)
        if found.get("lora_alpha") == 0:
            raise ValueError(
                "lora_alpha is 0, which verl's merger writes for want of the right one; set it to "
                "that of the training"
            )
        config = AdapterConfig(**{n: found[n] for n in AdapterConfig.model_fields if found.get(n)})
    except (ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise WindowError(f"{path}: is no config of a LoRA adapter ({reason})") from error
    if found.get("peft_type") != "LORA":
        raise WindowError(f"{path}: peft_type is {found.get('peft_type')}; only LORA is supported")
    for field, reason in REFUSED.items():
        if found.get(field):
            raise WindowError(
                f"{path}: {field} is {found[field]}: {reason}, so the displacement is no product "
                "B A; merge the adapters into checkpoints and fit those"
            )
    if found.get("bias", "none") != "none":
        raise WindowError(
            f"{path}: bias is {found['bias']!r}; merge the adapters into checkpoints and fit those"
        )
    start = found.get("init_lora_weights", True)
    if start not in PLAIN_STARTS:
        raise WindowError(
            f"{path}: init_lora_weights is {start!r}, which changes the base before the first "
            "step; merge the adapters into checkpoints and fit those"
        )
    return config


def _matching(pattern: dict[str, Any], module: str, default: float) -> float:
    """The first value whose expression matches the end of the name at a dot, as PEFT looks it up.

    (`get_pattern_key` of `peft.utils.other`.)
    """
    for expression, value in pattern.items():
        if _compiled(expression).match(module):
            return float(value)
    return default


def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(rf"(.*\.)?({expression})$")

"""The adapter whose steps make a window."""

from dataclasses import dataclass

from relex.checkpoints import Checkpoint, TensorInfo
from relex.window.adapted import Adapters
from relex.window.adapter_config import parse_adapter_config

WHERE = "training.lora"


@dataclass(frozen=True)
class Adapter:
    """What the adapters of all steps have in common."""

    schema: dict[str, TensorInfo]
    """Their tensors by PEFT's names, as they are kept."""

    config: str
    """Of PEFT, as JSON: the content of an adapter_config.json."""

    def check(self, base: Checkpoint) -> None:
        """Raise WindowError unless every tensor moves a weight of the base by a plain product."""
        Adapters(WHERE, self.schema, parse_adapter_config(self.config, WHERE), base)

"""What generates the completions that a training learns from."""

from typing import Literal, Self

from pydantic import Field, model_validator

from relex.config.addresses import NO_CREDENTIALS
from relex.config.strict import Section

MOST_BATCHED_TOKENS = 4096
"""Of one pass of vLLM in a trainer: TRL sets it, and vLLM takes no more sequences than that."""

MOST_DEVICES = 1024

RolloutEngine = Literal["auto", "transformers", "vllm", "vllm_server"]
ImportanceSampling = Literal[
    "off", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"
]


class RolloutsConfig(Section):
    """The engine of the rollouts, and what is done where it disagrees with the trainer."""

    engine: RolloutEngine = "auto"
    """`vllm` shares the trainer's devices, `vllm_server` is a server of your own on others, and
    `transformers` generates a whole step at once; `auto` takes vLLM where there is a GPU and it is
    installed, and transformers elsewhere and for a base in 4 bit."""

    memory_fraction: float = Field(default=0.3, gt=0, lt=1)
    """Share of each GPU that vLLM takes."""

    sleep: bool = False
    """vLLM gives its memory back while the weights are updated, and takes some seconds a step to
    wake up."""

    tensor_parallel_size: int = Field(default=1, ge=1, le=MOST_DEVICES)
    """GPUs that one engine's weights are split over; must divide `num_gpus`."""

    max_num_seqs: int = Field(default=256, ge=1, le=MOST_BATCHED_TOKENS)
    """Completions that vLLM generates at the same time. It takes no more than its limit of 4,096
    tokens in one pass."""

    importance_sampling_mode: ImportanceSampling = "sequence_mask"
    """What corrects for vLLM's probabilities, which differ from the trainer's: the ratio of the two
    weighs each token or each whole completion, and beyond the clips it is cut (`truncate`) or set
    to zero, which drops it from the loss (`mask`)."""

    importance_sampling_clip_max: float = Field(default=3.0, gt=0, le=1e6)
    """Largest ratio."""

    importance_sampling_clip_min: float = Field(default=0.0, ge=0, le=1)
    """Smallest ratio; 0 sets no limit."""

    server_url: str = Field(default="", json_schema_extra={"pattern": NO_CREDENTIALS})
    """Address of the server, such as `http://10.0.0.7:8000`; for `vllm_server` alone."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.engine == "vllm_server") != bool(self.server_url):
            raise ValueError(
                f"server_url: {self.server_url!r} with engine {self.engine}; give the address with "
                "engine vllm_server, and leave it out with others"
            )
        if self.sleep and self.engine in ("transformers", "vllm_server"):
            raise ValueError(f"sleep: the engine {self.engine} shares no memory to give back")
        if self.tensor_parallel_size > 1 and self.engine in ("transformers", "vllm_server"):
            raise ValueError(
                f"tensor_parallel_size: is not for the engine {self.engine}; use engine vllm, or "
                "start your server with it"
            )
        return self

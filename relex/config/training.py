"""The short GRPO run."""

from math import ceil
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from relex.config.lora import LoraConfig
from relex.config.names import KnownTo, one_of
from relex.config.rollouts import MOST_DEVICES, RolloutsConfig
from relex.config.strict import AUTO, HOTTEST, MOST_STEPS, MOST_TOKENS, Section, Steps
from relex.doors import TRAINER

TrainerName = Annotated[str, KnownTo(TRAINER), one_of(TRAINER.built_in)]
WeightDtype = Literal["float32", "bfloat16"]
KeptDtype = Literal["float32", "bfloat16", "rounded"]
SnapshotDtype = Literal["auto", "float32", "bfloat16", "rounded"]
NumSteps = Annotated[int, Field(ge=2, le=MOST_STEPS)]
MOST_COMPLETIONS = 1_000_000
"""Of one optimizer step: hundreds of times what published runs take."""

LEAST_GROUPS = 20
"""Of fewer questions the mean accuracy is too uncertain to end a run for."""


class TrainingConfig(Section):
    """A GRPO run of a few steps whose snapshots make the window."""

    trainer: TrainerName = "grpo"
    """What trains: `grpo` is TRL's GRPO; your own is `module:function`, which gets this recipe and
    fills the window, and is code that the worker runs, where its RELEX_PLUGINS allows it."""

    steps: Annotated[Literal["auto"], AUTO] | NumSteps
    """Optimizer steps to train, or `auto`: training stops when the window is settled, which it is
    when held-out skill, direction and the order of the layers agree over three looks, and at
    `most_steps` at the latest."""

    most_steps: NumSteps | None = None
    """Largest number of steps with `steps: auto`; memory and disk are planned for so many."""

    learning_rate: float = Field(gt=0, le=1)
    """Constant learning rate of AdamW, after `warmup_steps`."""

    prompts_per_step: int = Field(default=64, ge=1, le=MOST_COMPLETIONS)
    """Questions per optimizer step."""

    completions_per_prompt: int = Field(default=16, ge=2, le=MOST_COMPLETIONS)
    """Completions sampled for each question (the group of GRPO)."""

    completions_per_device_batch: int = Field(default=16, ge=1, le=MOST_COMPLETIONS)
    """Completions in one forward and backward pass on one device; bounds memory, not results."""

    gradient_checkpointing: bool = True
    """Compute activations again in the backward pass: less memory, about a fifth more time."""

    max_completion_tokens: int = Field(default=2048, ge=1, le=MOST_TOKENS)
    """Longest completion. Longer ones are clipped."""

    temperature: float = Field(default=1.0, gt=0, le=HOTTEST)
    """Sampling temperature of the rollouts."""

    kl_beta: float = Field(default=0.0, ge=0, le=1000)
    """Weight of the KL term; 0 keeps no reference model in memory."""

    warmup_steps: int = Field(default=0, ge=0, le=MOST_STEPS)
    """Steps of linear warm-up."""

    weight_decay: float = Field(default=0.0, ge=0, le=1000)
    """Decoupled weight decay."""

    max_grad_norm: float = Field(default=1.0, gt=0, le=1e9)
    """Gradients are clipped to this norm."""

    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Whether advantages are divided by the spread of the group, of the batch, or not at all."""

    master_dtype: WeightDtype = "float32"
    """Dtype of the weights that the optimizer updates. bfloat16 loses most of the small updates."""

    snapshot_dtype: SnapshotDtype = "auto"
    """How snapshots are kept. `bfloat16`, as the paper did, is small but hides the first small
    steps; `float32` is the trainer's own bits; `rounded` is float32 whose displacement from the
    base is rounded by about a tenth of its own size, the first steps included, and is small. `auto`
    is `bfloat16` for a base in bfloat16, and `rounded` for others, which bfloat16 cannot hold.
    Adapters are kept in `float32`, which is the default with `lora`."""

    snapshot_steps: Steps = ()
    """Steps whose weights are kept; empty keeps every step."""

    anchor_every_steps: int = Field(default=100, ge=2, le=MOST_STEPS)
    """Every so many kept steps one is stored whole, which bounds what must be replayed to read a
    step. An anchor takes the bytes of about 60 bfloat16 deltas."""

    checkpoint_every_steps: int = Field(default=10, ge=1, le=MOST_STEPS)
    """A rolling checkpoint of optimizer, scheduler and random state is written this often, and in a
    run of fewer than three times as many steps after each third of it."""

    num_gpus: int = Field(default=1, ge=1, le=MOST_DEVICES)
    """GPUs of this machine to train on, each by a process of its own. On the CPU one process
    trains, or with `shard` as many as this."""

    num_nodes: int = Field(default=1, ge=1, le=MOST_DEVICES)
    """Machines to train on, each with `num_gpus`; above 1 on a cluster (RELEX_CLUSTER), on the CPU
    too. How many processes train decides what is sampled."""

    shard: bool = False
    """Split weights, gradients and moments over the processes (FSDP2), for a model whose 16 bytes
    per parameter do not fit on one GPU."""

    moments: Literal["kept", "reset", "reset_moved"] = "reset"
    """What becomes of Adam's moments in a round (`rounds`) that begins from an extrapolated choice:
    all of them are kept, all reset, or only those of the tensors that were moved. Where the choice
    is the last trained step, they are kept; adapters of a later round are new and have none. On
    toys the three hardly differ (docs/rounds.md)."""

    lora: LoraConfig | None = None
    """Train low-rank adapters and leave the base as it is; their steps make the window."""

    rollouts: RolloutsConfig = RolloutsConfig()
    """What generates completions while training."""

    stop_after_flat_steps: int = Field(default=0, ge=0, le=MOST_STEPS)
    """End the run, as one that learns nothing, after so many steps in a row in which more than 80 %
    of the groups have no spread in reward. 0 never does: a reward may become informative late."""

    stop_after_falling_steps: int = Field(default=0, ge=0, le=MOST_STEPS)
    """End the run, as one that learns nothing, when its completions of the last so many steps are
    worse than those of its first so many: graded as in the evaluation, whatever the reward is, by
    more than 3 standard errors. 0 never does."""

    @property
    def last_step(self) -> int:
        """The last optimizer step; with `auto` the last one that there may be."""
        last = self.most_steps if self.steps == "auto" else self.steps
        assert last is not None
        return last

    @property
    def kept_steps(self) -> tuple[int, ...]:
        """The steps that the window will hold, ascending; with `auto` it may end earlier."""
        return tuple(sorted(self.snapshot_steps)) or tuple(range(1, self.last_step + 1))

    @property
    def num_processes(self) -> int:
        """That train on GPUs."""
        return self.num_gpus * self.num_nodes

    @property
    def rolling_steps(self) -> int:
        """Steps between two rolling checkpoints."""
        return min(self.checkpoint_every_steps, ceil(self.last_step / 3))

    @model_validator(mode="before")
    @classmethod
    def _keep_adapters_whole(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("lora") is not None:
            return {"snapshot_dtype": "float32"} | value
        return value

    @field_validator("steps", mode="wrap")
    @classmethod
    def _check_steps(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """One message in place of one for `auto` and one for the number."""
        try:
            return read(value)
        except ValidationError as error:
            raise PydanticCustomError(
                "steps", f"input should be auto, or a number from 2 to {MOST_STEPS}"
            ) from error

    # The first of all checks, because the others ask for the last step.
    @model_validator(mode="after")
    def _check_auto(self) -> Self:
        if self.steps != "auto":
            if self.most_steps is not None:
                raise ValueError(f"most_steps: is for steps: auto, found steps {self.steps}")
            return self
        if self.most_steps is None:
            raise ValueError("most_steps: missing; steps: auto needs the largest number")
        if self.snapshot_steps:
            raise ValueError("snapshot_steps: with steps: auto every step is kept; leave it out")
        if self.trainer not in TRAINER.built_in:
            raise ValueError(
                f"steps: auto is not for a trainer of your own ({self.trainer}); give a number"
            )
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        kept = self.kept_steps
        if len(set(kept)) != len(kept):
            raise ValueError("snapshot_steps: a step is listed twice")
        if kept[0] < 1 or kept[-1] > self.last_step:
            raise ValueError(
                f"snapshot_steps: must lie in 1 to {self.last_step} (training.steps), "
                f"found {kept[0]} to {kept[-1]}"
            )
        if len(kept) < 2:
            raise ValueError("snapshot_steps: a line needs at least two snapshots; list more steps")
        if kept[-1] != self.last_step:
            raise ValueError(
                f"snapshot_steps: the last step {self.last_step} must be kept, "
                "because it is what a candidate has to beat; add it"
            )
        completions = self.prompts_per_step * self.completions_per_prompt
        if completions % (self.completions_per_device_batch * self.num_processes):
            raise ValueError(
                f"completions_per_device_batch: {self.completions_per_device_batch} x num_gpus "
                f"{self.num_gpus} x num_nodes {self.num_nodes} must divide prompts_per_step x "
                f"completions_per_prompt = {completions}"
            )
        return self

    @model_validator(mode="after")
    def _check_falling(self) -> Self:
        num = self.stop_after_falling_steps
        if num and 2 * num >= self.last_step:
            raise ValueError(
                f"stop_after_falling_steps: {num} compares the first {num} steps with {num} others "
                f"before the end, and there are {self.last_step} steps; choose less than half "
                "of them"
            )
        if num and num * self.prompts_per_step < LEAST_GROUPS:
            raise ValueError(
                f"stop_after_falling_steps: {num} steps x prompts_per_step {self.prompts_per_step} "
                f"are fewer than {LEAST_GROUPS} questions, whose accuracy often falls by chance; "
                "choose more"
            )
        return self

    @model_validator(mode="after")
    def _check_devices(self) -> Self:
        if self.shard and self.num_processes == 1:
            raise ValueError(
                "shard: splits the weights over processes, and num_gpus is 1; raise num_gpus, or "
                "leave shard out"
            )
        if self.shard and self.master_dtype != "float32":
            raise ValueError(
                f"shard: splits float32 masters, found master_dtype {self.master_dtype}"
            )
        parts = self.rollouts.tensor_parallel_size
        if self.num_gpus % parts:
            raise ValueError(
                f"rollouts.tensor_parallel_size: {parts} must divide num_gpus {self.num_gpus}"
            )
        return self

    @model_validator(mode="after")
    def _check_lora(self) -> Self:
        if self.lora is None:
            return self
        if self.shard:
            raise ValueError("shard: adapters are not sharded; leave shard or lora out")
        for field in ("snapshot_dtype", "master_dtype"):
            if getattr(self, field) != "float32":
                raise ValueError(
                    f"{field}: adapters are trained and kept in float32, found "
                    f"{getattr(self, field)}; leave {field} out"
                )
        if self.lora.quantize and self.rollouts.engine in ("vllm", "vllm_server"):
            raise ValueError(
                f"lora.quantize: the rollouts of a base in 4 bit come from transformers, found "
                f"rollouts.engine {self.rollouts.engine}"
            )
        return self

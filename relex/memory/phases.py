"""The phases of a run, from its recipe: what is in one place at one time.

Bounds from above: every prompt is as long as the longest, and completions as long as the recipe
allows.
"""

from dataclasses import dataclass
from math import inf, prod

from relex.config import AnyRecipe, Recipe
from relex.config.training import TrainingConfig
from relex.evaluation.transformers_engine import TOKENS_PER_BATCH
from relex.machine import Machine
from relex.memory.model import Model
from relex.memory.training import (
    BFLOAT16_BYTES,
    CONTEXT_BYTES,
    FLOAT32_BYTES,
    Parts,
    Training,
    cache_parts,
    generation_parts,
    state_parts,
    update_parts,
)

GB = 1e9
LEAST_SHOWN_BYTES = 0.05e9
BYTES_IN_4_BIT = 0.52
"""Of a weight: 4 bits, and 0.127 bits of scales (arXiv 2305.14314)."""

ENGINE_BYTES = 2e9
"""vLLM beside weights and cache: context, CUDA graphs, the widest pass, and sampling."""

ASLEEP_BYTES = 1e9
"""What vLLM keeps while it sleeps: CUDA graphs and workspaces."""

PROCESS_BYTES = 3e9
"""Of host memory: a process that has imported torch, transformers, TRL and vLLM."""


@dataclass(frozen=True)
class Phase:
    """Parts that must fit into one place together."""

    name: str
    parts: Parts
    limit_bytes: float

    @property
    def size_bytes(self) -> float:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.size_bytes <= self.limit_bytes

    @property
    def words(self) -> str:
        """The sum in GB: what it is, of how much, and its parts."""
        limit = "" if self.limit_bytes == inf else f" of {self.limit_bytes / GB:.1f}"
        large = {name: size for name, size in self.parts.items() if size >= LEAST_SHOWN_BYTES}
        parts = ", ".join(f"{name} {size / GB:.1f}" for name, size in large.items())
        return f"{self.size_bytes / GB:.1f}{limit} GB" + (f": {parts}" if parts else "")


def training_of(recipe: Recipe, model: Model, longest_prompt: int | None = None) -> Training:
    """The numbers of one process of the recipe's trainer; without the tokens of the longest prompt,
    for the longest that the evaluation has room for."""
    config = recipe.training
    num_trained, frozen_bytes = model.num_parameters, 0.0
    if config.lora is not None:
        num_trained = model.num_adapter_parameters(config.lora.rank, config.lora.targets)
        num_linear = sum(prod(sizes) for _, *sizes in model.linears)
        linear_bytes = BYTES_IN_4_BIT if config.lora.quantize else BFLOAT16_BYTES
        others = BFLOAT16_BYTES * (model.num_parameters - num_linear)
        frozen_bytes = linear_bytes * num_linear + others
    return Training(
        model=model,
        num_trained=num_trained,
        frozen_bytes=frozen_bytes,
        master_bytes=FLOAT32_BYTES if config.master_dtype == "float32" else BFLOAT16_BYTES,
        num_processes=config.num_processes,
        num_on_host=config.num_gpus,
        is_sharded=config.shard,
        has_reference=config.kl_beta > 0 and config.lora is None,
        batch_size=config.completions_per_device_batch,
        prompt_tokens=_room_for_prompts(recipe) if longest_prompt is None else longest_prompt,
        completion_tokens=config.max_completion_tokens,
        checkpoints_gradients=config.gradient_checkpointing,
    )


def _room_for_prompts(recipe: Recipe) -> int:
    return recipe.evaluation.max_context_tokens - recipe.evaluation.max_completion_tokens


def training_phases(
    recipe: Recipe, model: Model, machine: Machine, longest_prompt: int | None
) -> list[Phase]:
    """Completions and update on each GPU, and what the host holds meanwhile."""
    training, config = training_of(recipe, model, longest_prompt), recipe.training
    if not machine.num_cards:
        return [Phase("update", _on_processor(training), machine.host_bytes)]
    state, engine = state_parts(training), rollout_engine(config, machine)
    update = state | update_parts(training)
    awake = config.rollouts.memory_fraction * machine.card_bytes
    if engine == "vllm":
        length = training.prompt_tokens + training.completion_tokens
        parts = engine_parts(model, length, config.rollouts.tensor_parallel_size)
        asleep = ASLEEP_BYTES if config.rollouts.sleep else awake
        phases = [
            Phase("rollout engine", parts, awake),
            Phase("rollouts", state | {"vLLM": awake}, machine.card_bytes),
            Phase("update", update | {"vLLM": asleep}, machine.card_bytes),
        ]
    else:
        num_sequences = (
            config.prompts_per_step * config.completions_per_prompt // config.num_processes
        )
        generated = generation_parts(training, num_sequences if engine == "transformers" else 0)
        phases = [
            Phase("rollouts", state | generated, machine.card_bytes),
            Phase("update", update, machine.card_bytes),
        ]
    return [*phases, Phase("host", _loading(training), machine.host_bytes)]


def rollout_engine(config: TrainingConfig, machine: Machine) -> str:
    """What `auto` takes on the machine, or what the recipe says."""
    if config.rollouts.engine != "auto":
        return config.rollouts.engine
    in_4_bit = config.lora is not None and config.lora.quantize
    return "vllm" if machine.has_vllm and not in_4_bit else "transformers"


def engine_parts(model: Model, length: int, num_parts: int) -> Parts:
    """What vLLM needs at least on each of the `num_parts` GPUs over which it splits a model: it
    refuses to start without room for one answer."""
    return {
        "weights": BFLOAT16_BYTES * model.num_parameters / num_parts,
        "one answer": length * model.cache_bytes_per_token(BFLOAT16_BYTES) / num_parts,
        "engine": ENGINE_BYTES,
    }


def answers_phase(recipe: AnyRecipe, model: Model, machine: Machine) -> Phase:
    """The evaluation, on each GPU or on the host."""
    config = recipe.evaluation
    if machine.num_cards and machine.has_vllm and config.engine != "transformers":
        limit = config.gpu_memory_fraction * machine.card_bytes
        parts = engine_parts(model, config.max_context_tokens, config.tensor_parallel_size)
        return Phase("answers", parts, limit)
    num_sequences = max(1, TOKENS_PER_BATCH // config.max_context_tokens)
    parts = {
        "weights": float(BFLOAT16_BYTES * model.num_parameters),
        **cache_parts(model, num_sequences, config.max_context_tokens, BFLOAT16_BYTES),
        "process": CONTEXT_BYTES,
    }
    return Phase("answers", parts, machine.card_bytes or machine.host_bytes)


def _on_processor(training: Training) -> Parts:
    """The update where the processor trains: in float32, whose vectors take twice as much as those
    of an autocast, and with all processes of a machine on its one host."""
    parts = state_parts(training) | update_parts(training)
    parts |= {"activations": 2 * parts["activations"], "context": PROCESS_BYTES}
    parts.pop("bfloat16 copies", None)
    num_processes = training.num_on_host if training.is_sharded else 1
    return {name: num_processes * size for name, size in parts.items()}


def _loading(training: Training) -> Parts:
    """Host memory when the trainer starts: each process reads its weights there first. Those that
    will be sharded are read by one process alone, unless a reference model is needed too."""
    weights = training.master_bytes * training.model.num_parameters
    if training.frozen_bytes:
        weights = BFLOAT16_BYTES * training.model.num_parameters
    is_read_once = training.is_sharded and not training.has_reference
    num_readers = 1 if is_read_once else training.num_on_host
    return {
        "loaded weights": float(weights * num_readers),
        "processes": PROCESS_BYTES * training.num_on_host,
    }

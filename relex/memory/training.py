"""Bytes that one process of the trainer holds on its GPU, part by part.

The parts were counted in torch, transformers and TRL: what autograd keeps of a layer under
bfloat16 autocast, what fully sharded parameters gather, what TRL's output layer allocates, which
never holds the logits of a batch but tiles of them.
"""

from dataclasses import dataclass

from relex.memory.model import Model

Parts = dict[str, float]
"""Bytes by what holds them."""

BFLOAT16_BYTES, FLOAT32_BYTES = 2, 4
NUM_MOMENTS = 2
"""Of AdamW. Its fused step, which GPUs take, holds nothing more; the foreach step would hold one
more moment."""

GAPS_FRACTION = 0.1
"""Of what comes and goes, the memory that torch's allocator holds and cannot use."""

CONTEXT_BYTES, CONTEXT_WITH_NCCL_BYTES = 1.7e9, 3.2e9
"""CUDA's context, kernels and workspaces, without and with other processes to talk to; on an H200
a plan with 1.5e9 was 0.1 GB short."""

TILE_TOKENS, TILE_TOKENS_OF_VOCABULARY = 4096, 32_768
"""Of the logits that TRL's output layer makes at one time (trl/kernels/chunked_logprob.py)."""

LOGITS_COPIES = 4
"""Of the last token's, float32, while transformers samples: as computed, at the temperature, as
probabilities, and one in between."""


@dataclass(frozen=True)
class Training:
    """What decides the memory of one process of the trainer."""

    model: Model

    num_trained: int
    """Parameters that the optimizer updates: all, or those of the adapters."""

    frozen_bytes: float
    """Weights beside them: 0, or the base below adapters."""

    master_bytes: int
    """Of a trained weight; its gradient and moments take as many each."""

    num_processes: int
    num_on_host: int
    """Of all processes, those of one machine."""

    is_sharded: bool
    """Weights, gradients and moments are split over the processes."""

    has_reference: bool
    """A float32 copy of the base is kept for the KL term."""

    batch_size: int
    """Completions in one pass of one process."""

    prompt_tokens: int
    completion_tokens: int
    """Longest prompt, longest completion: what a batch is padded to."""

    checkpoints_gradients: bool
    """Layers are computed again in the backward pass."""

    @property
    def trains_all(self) -> bool:
        return self.num_trained == self.model.num_parameters

    @property
    def num_tokens(self) -> int:
        """Of one pass, padding included."""
        return self.batch_size * (self.prompt_tokens + self.completion_tokens)


def state_parts(training: Training) -> Parts:
    """What stays from step to step."""
    trained = training.num_trained * training.master_bytes / _num_shards(training)
    reference = FLOAT32_BYTES * training.model.num_parameters / _num_shards(training)
    parts = {
        "weights": trained + training.frozen_bytes,
        "moments": NUM_MOMENTS * trained,
        "reference model": reference if training.has_reference else 0,
        "context": CONTEXT_BYTES if training.num_processes == 1 else CONTEXT_WITH_NCCL_BYTES,
    }
    return _held(parts)


def update_parts(training: Training) -> Parts:
    """What the backward pass of an update holds at its peak, beside the state."""
    parts = {
        "gradients": training.num_trained * training.master_bytes / _num_shards(training),
        "gradient buckets": _bucket_bytes(training),
        "gathered layers": _gathered_bytes(training) if training.is_sharded else 0,
        "bfloat16 copies": _copies_bytes(training),
        "activations": activation_bytes(training),
        "output layer": _output_bytes(training),
    }
    transient = parts["activations"] + parts["output layer"]
    return _held({**parts, "allocator": GAPS_FRACTION * transient})


def generation_parts(training: Training, num_sequences: int) -> Parts:
    """What transformers holds while it generates `num_sequences` at once, beside the state.

    Below float32 masters keys and values are float32: autocast turns the products into bfloat16,
    and the rotation of positions, which is float32, turns them back.
    """
    element_bytes = training.master_bytes if training.trains_all else BFLOAT16_BYTES
    length = training.prompt_tokens + training.completion_tokens
    return cache_parts(training.model, num_sequences, length, element_bytes)


def cache_parts(model: Model, num_sequences: int, length: int, element_bytes: int) -> Parts:
    """Keys, values and sampling of `num_sequences` of `length` tokens in transformers."""
    cache = num_sequences * length * model.cache_bytes_per_token(element_bytes)
    return {
        # A layer's cache is copied when a token is added.
        "keys and values": cache * (1 + 1 / model.num_layers),
        "sampling": LOGITS_COPIES * FLOAT32_BYTES * num_sequences * model.vocabulary_size,
    }


def layer_bytes_per_token(model: Model, num_keys: int) -> int:
    """What autograd keeps of one layer for one token that sees `num_keys`, under bfloat16 autocast.

    Two norms keep four float32 vectors, five products each keep their own bfloat16 copy of one; the
    MLP keeps four bfloat16 vectors; attention keeps queries, output, and keys and values repeated
    for every query head, and a row of the mask; norms of queries and keys keep one vector in
    float32 and one in bfloat16 each.
    """
    norms = 6 * (model.query_size + model.key_value_size) if model.has_query_norm else 0
    return (
        26 * model.hidden_size
        + 8 * model.intermediate_size
        + 8 * model.query_size
        + 2 * num_keys
        + norms
    )


def activation_bytes(training: Training) -> float:
    """What autograd keeps of all layers, or of one and the inputs of all, with the gradients that
    pass through one layer."""
    model = training.model
    inputs = FLOAT32_BYTES * model.hidden_size * model.num_layers
    layers = 1 if training.checkpoints_gradients else model.num_layers
    kept = layers * _layer_bytes(training) + (inputs if training.checkpoints_gradients else 0)
    return float(training.num_tokens * (kept + _passing_bytes(model)))


def _layer_bytes(training: Training) -> int:
    num_keys = training.prompt_tokens + training.completion_tokens
    return layer_bytes_per_token(training.model, num_keys)


def _passing_bytes(model: Model) -> int:
    """Gradients on their way through a layer, for one token: about three bfloat16 vectors of the
    MLP and three float32 others."""
    return 6 * model.intermediate_size + 12 * model.hidden_size


def _one_layer_bytes(training: Training) -> int:
    """What the backward pass of one layer holds when it is computed again."""
    return training.num_tokens * (_layer_bytes(training) + _passing_bytes(training.model))


def _output_bytes(training: Training) -> float:
    """The output layer of TRL: tiles of logits, float32 copies of the scored states and their
    gradient, and the float32 gradient of its matrix, which waits for that of the embeddings."""
    model = training.model
    num_scored = training.batch_size * training.completion_tokens
    width = min(TILE_TOKENS_OF_VOCABULARY, model.vocabulary_size)
    tile = BFLOAT16_BYTES * width * (min(TILE_TOKENS, num_scored) + model.hidden_size)
    states = 2 * FLOAT32_BYTES * num_scored * model.hidden_size
    matrix = FLOAT32_BYTES * model.vocabulary_size * model.hidden_size
    return tile + states + (matrix if training.trains_all else 0)


def _copies_bytes(training: Training) -> float:
    """The bfloat16 copies of float32 weights. An autocast keeps them all to the end of the forward
    pass; with checkpointing the backward pass makes those of one layer anew, when the activations
    of a layer are there too, and the larger of the two peaks counts."""
    if training.is_sharded or training.master_bytes == BFLOAT16_BYTES or not training.trains_all:
        return 0
    layer = BFLOAT16_BYTES * training.model.num_layer_parameters
    every = layer * training.model.num_layers
    if not training.checkpoints_gradients:
        return every
    return max(layer, every - _one_layer_bytes(training))


def _bucket_bytes(training: Training) -> float:
    """Data parallel processes keep copies of the gradients, to add them up."""
    if training.is_sharded or training.num_processes == 1:
        return 0
    return training.num_trained * training.master_bytes


def _gathered_bytes(training: Training) -> float:
    """Of sharded weights: two layers and the vocabulary in bfloat16, and gradients in bfloat16 and,
    to be added up, float32. Those of a layer meet its activations; those of the vocabulary come
    before and after, and the larger of the two peaks counts."""
    layer = training.model.num_layer_parameters
    vocabulary = training.model.num_vocabulary_parameters
    alone = _one_layer_bytes(training) if training.checkpoints_gradients else 0
    gradient_bytes = BFLOAT16_BYTES + FLOAT32_BYTES
    gradients = max(gradient_bytes * layer, gradient_bytes * vocabulary - alone)
    return BFLOAT16_BYTES * (2 * layer + vocabulary) + gradients


def _num_shards(training: Training) -> int:
    return training.num_processes if training.is_sharded else 1


def _held(parts: Parts) -> Parts:
    return {name: size for name, size in parts.items() if size}

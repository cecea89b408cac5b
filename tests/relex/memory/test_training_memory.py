"""The parts of a trainer's memory against what torch itself allocates and keeps.

Autocast to bfloat16 works on a processor as on a GPU, so the formulas are those of GPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from peft import LoraConfig, get_peft_model
from trl.trainer.utils import add_fused_lm_head

from relex.memory.training import (
    activation_bytes,
    generation_parts,
    layer_bytes_per_token,
    state_parts,
    update_parts,
)
from tests import trainings
from tests.allocated import Allocated, kept_bytes

NUM_ROWS, LENGTH = 4, 64
NUM_TOKENS = NUM_ROWS * LENGTH
training_of = partial(trainings.training_of, num_rows=NUM_ROWS, length=LENGTH)


def tokens(num_rows: int, length: int) -> dict[str, torch.Tensor]:
    """A batch with padding on the left, as the trainer makes them."""
    mask = torch.ones(num_rows, length, dtype=torch.long)
    mask[0, :2] = 0
    return {"input_ids": torch.randint(2, 90, (num_rows, length)), "attention_mask": mask}


@contextmanager
def autocast() -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16):
        yield


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"hidden_size": 256},
        {"intermediate_size": 1024},
        {"num_attention_heads": 16},
        {"num_key_value_heads": 4},
    ],
)
def test_a_layer_keeps_for_the_backward_pass_what_the_formula_says(tiny, kind, shape):
    def kept(num_layers: int) -> int:
        model, _ = tiny(kind, **shape, num_hidden_layers=num_layers)

        def forward() -> None:
            with autocast():
                model.model(**tokens(NUM_ROWS, LENGTH), use_cache=False)

        return kept_bytes(model, forward)

    _, numbers = tiny(kind, **shape)
    # The bfloat16 copies of the weights are a part of their own.
    copies = 2 * numbers.num_layer_parameters
    expected = NUM_TOKENS * layer_bytes_per_token(numbers, LENGTH) + copies
    assert kept(3) - kept(2) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
@pytest.mark.parametrize(
    "shape",
    [{}, {"hidden_size": 256}, {"intermediate_size": 1024}, {"num_attention_heads": 16}],
)
def test_a_layer_below_adapters_keeps_about_as_much(tiny, kind, shape):
    """Of a bfloat16 base with float32 adapters on all linear layers."""

    def kept(num_layers: int) -> int:
        model, _ = tiny(kind, **shape, num_hidden_layers=num_layers)
        adapted = get_peft_model(
            model.bfloat16(), LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
        )
        for weight in adapted.parameters():
            weight.data = weight.data.float() if weight.requires_grad else weight.data
        adapted.enable_input_require_grads()

        def forward() -> None:
            with autocast():
                model.model(**tokens(NUM_ROWS, LENGTH), use_cache=False)

        return kept_bytes(adapted, forward)

    expected = NUM_TOKENS * layer_bytes_per_token(tiny(kind, **shape)[1], LENGTH)
    assert 0.8 * expected <= kept(3) - kept(2) <= 1.05 * expected


@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_with_checkpointing_a_layer_keeps_its_input(tiny, kind):
    def kept(num_layers: int) -> int:
        model, _ = tiny(kind, num_hidden_layers=num_layers)
        model.gradient_checkpointing_enable({"use_reentrant": False})
        with Allocated() as allocated, autocast():
            held = model.model(**tokens(NUM_ROWS, LENGTH), use_cache=False)
        assert held.last_hidden_state is not None
        return allocated.now

    assert kept(5) - kept(2) == 3 * 4 * NUM_TOKENS * 128


@pytest.mark.parametrize("checkpoints_gradients", [True, False])
@pytest.mark.parametrize("num_rows", [1, 2, 16])
def test_a_pass_allocates_at_its_peak_what_activations_and_copies_take(
    tiny, checkpoints_gradients, num_rows
):
    model, numbers = tiny("qwen3", intermediate_size=512)
    training = training_of(
        numbers, batch_size=num_rows, checkpoints_gradients=checkpoints_gradients
    )
    if checkpoints_gradients:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    for _ in range(2):  # the second finds the gradients of the first there
        with Allocated() as allocated:
            with autocast():
                output = model.model(**tokens(num_rows, LENGTH), use_cache=False)
            output.last_hidden_state.square().mean().backward()
    parts = update_parts(training)
    matrix = (2 + 4) * 128 * 512  # one gradient on its way, in bfloat16 and float32
    expected = parts["bfloat16 copies"] + parts["activations"] + matrix
    assert 0.75 * expected <= allocated.peak <= 1.05 * expected


def test_weights_gradients_and_moments_are_those_of_adamw(tiny):
    model, numbers = tiny("qwen2")
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(**tokens(2, 8)).logits.sum().backward()
    optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values()]
    moments = sum(value.nbytes for value in states if value.numel() > 1)
    weights = list(model.parameters())
    training = training_of(numbers)
    assert state_parts(training)["weights"] == sum(weight.nbytes for weight in weights)
    assert state_parts(training)["moments"] == pytest.approx(moments, rel=0.001)
    gradients = sum(weight.grad.nbytes for weight in weights)
    assert update_parts(training)["gradients"] == gradients


def test_the_fused_step_of_adamw_allocates_nothing(tiny):
    model, _ = tiny("qwen2")
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for _ in range(2):  # the first makes the moments
        model(**tokens(2, 8)).logits.sum().backward()
        with Allocated() as allocated:
            optimizer.step()
    assert allocated.peak < 1000


def test_the_output_layer_keeps_states_and_never_the_logits_of_a_batch(tiny):
    model, _ = tiny("qwen2", vocab_size=4096)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    batch = tokens(NUM_ROWS, LENGTH)

    def layers_alone() -> None:
        with autocast():
            model.model(**batch, use_cache=False)

    def scored() -> None:
        with autocast():
            model(**batch, labels=batch["input_ids"], fused_lm_head=True)

    states = 2 * 4 * NUM_TOKENS * 128
    assert kept_bytes(model, scored) - kept_bytes(model, layers_alone) <= states
    assert states < 4 * NUM_TOKENS * 4096 / 10


@pytest.mark.parametrize(("dtype", "master_bytes"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_transformers_keeps_keys_and_values_in_the_dtype_of_the_masters(tiny, dtype, master_bytes):
    model, numbers = tiny("qwen3")
    with torch.no_grad(), autocast():
        output = model.to(dtype)(**tokens(2, 32), use_cache=True)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in output.past_key_values.layers)
    assert held == 2 * 32 * numbers.cache_bytes_per_token(master_bytes)
    training = training_of(
        numbers, master_bytes=master_bytes, prompt_tokens=16, completion_tokens=16
    )
    parts = generation_parts(training, num_sequences=2)
    assert parts["keys and values"] == held * (1 + 1 / 4)


def test_sharding_splits_the_state_and_keeps_the_activations(tiny):
    _, numbers = tiny("qwen3")
    one, four = training_of(numbers), training_of(numbers, num_processes=4, is_sharded=True)
    assert state_parts(four)["weights"] == state_parts(one)["weights"] / 4
    assert state_parts(four)["moments"] == state_parts(one)["moments"] / 4
    assert update_parts(four)["gradients"] == update_parts(one)["gradients"] / 4
    assert activation_bytes(four) == activation_bytes(one)
    assert "gradient buckets" not in update_parts(four)


def test_data_parallel_processes_hold_the_gradients_twice(tiny):
    _, numbers = tiny("qwen3")
    parts = update_parts(training_of(numbers, num_processes=2))
    assert parts["gradient buckets"] == parts["gradients"] == 4 * numbers.num_parameters

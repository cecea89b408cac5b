"""The phases of a run, from its recipe."""

from math import inf
from pathlib import Path

import pytest

from relex import machine
from relex.checkpoints import TOY_BASE
from relex.config import Recipe, check_recipe, check_run_recipe
from relex.errors import ResourceError
from relex.machine import Machine
from relex.memory import Model, check_plan, plan_memory, planned_machine, read_model
from relex.memory.cheaper import changes_that_fit, words_of
from relex.memory.phases import Phase

H100 = planned_machine(80, 1)
QUESTIONS = {
    "validation": {"kind": "toy", "split": "validation"},
    "test": [{"name": "toy", "source": {"kind": "toy", "split": "test"}}],
}
LONG = {"max_completion_tokens": 8192, "completions_per_device_batch": 1}
EVALUATION = {"max_completion_tokens": 1024, "max_context_tokens": 2048}
BILLION = Model(
    num_parameters=1_000_000_000,
    num_vocabulary_parameters=100_000_000,
    vocabulary_size=100_000,
    num_layers=20,
    hidden_size=2000,
    intermediate_size=6000,
    query_size=2000,
    key_value_size=500,
    has_query_norm=False,
    linears=tuple((f"layers.{layer}.q_proj", 2000, 2000) for layer in range(20)),
)


def recipe(**training) -> Recipe:
    value = {
        "name": "planned",
        "base": {"path": "toy"},
        "problems": {"train": {"kind": "toy", "split": "train"}, **QUESTIONS},
        "rewards": [{"reward": "exact_match"}],
        "training": {
            "steps": 10,
            "learning_rate": 1e-6,
            "max_completion_tokens": 1024,
            **training,
        },
        "extrapolation": {"targets": [20]},
        "evaluation": EVALUATION,
    }
    return check_recipe(value, "recipe")


def phases(place: Machine = H100, **training) -> dict[str, Phase]:
    return {phase.name: phase for phase in plan_memory(recipe(**training), BILLION, place).phases}


def test_vllm_that_sleeps_gives_its_share_to_the_update_and_not_to_the_rollouts():
    awake = phases(rollouts={"engine": "vllm"})
    asleep = phases(rollouts={"engine": "vllm", "sleep": True})
    assert awake["update"].parts["vLLM"] == pytest.approx(0.3 * 80e9)
    assert asleep["update"].parts["vLLM"] == 1e9
    assert asleep["rollouts"].parts == awake["rollouts"].parts


def test_an_engine_needs_its_weights_one_answer_and_itself_within_its_share():
    parts = phases(rollouts={"engine": "vllm"})["rollout engine"].parts
    assert parts["weights"] == 2e9
    assert parts["one answer"] == (1024 + 1024) * 2 * 20 * 500 * 2
    split = phases(num_gpus=2, rollouts={"engine": "vllm", "tensor_parallel_size": 2})
    assert split["rollout engine"].parts["weights"] == 1e9


def test_the_answers_of_a_large_base_come_from_several_gpus():
    whole = recipe(num_gpus=2)
    split = whole.evaluation.model_copy(update={"tensor_parallel_size": 2})
    plan = plan_memory(whole.model_copy(update={"evaluation": split}), BILLION, H100)
    assert plan.phases[-1].parts["weights"] == 1e9


def test_auto_takes_vllm_where_it_is_and_no_base_in_4_bit():
    assert "rollout engine" in phases()
    assert "rollout engine" not in phases(lora={"quantize": True})
    assert "rollout engine" not in phases(Machine("card", 80e9, 1, False, inf))


def test_transformers_holds_the_cache_of_a_whole_step_of_its_process():
    one = phases(rollouts={"engine": "transformers"})["rollouts"].parts
    cache = 1024 * 2048 * 2 * 20 * 500 * 4
    assert one["keys and values"] == cache * (1 + 1 / 20)
    two = phases(num_gpus=2, rollouts={"engine": "transformers"})["rollouts"].parts
    assert two["keys and values"] == one["keys and values"] / 2


def test_a_server_of_ones_own_takes_nothing_here():
    served = phases(rollouts={"engine": "vllm_server", "server_url": "http://10.0.0.7:8000"})
    assert "vLLM" not in served["update"].parts and "rollout engine" not in served


def test_adapters_leave_two_bytes_a_parameter_of_the_base_and_half_a_byte_in_4_bit():
    whole = phases()["update"].parts
    lora = phases(lora={"rank": 10})["update"].parts
    num_trained = 20 * 10 * 4000
    assert lora["weights"] == 2e9 + 4 * num_trained
    assert lora["gradients"] == 4 * num_trained
    assert lora["moments"] == 8 * num_trained
    assert lora["activations"] == whole["activations"]
    quantized = phases(lora={"rank": 10, "quantize": True})["update"].parts
    num_linear = 20 * 2000 * 2000
    expected = 0.52 * num_linear + 2 * (1_000_000_000 - num_linear) + 4 * num_trained
    assert quantized["weights"] == pytest.approx(expected)


def test_a_reference_model_is_held_for_the_kl_term_of_a_full_training_alone():
    assert phases(kl_beta=0.1)["update"].parts["reference model"] == 4e9
    assert "reference model" not in phases(kl_beta=0.1, lora={})["update"].parts


def test_sharded_weights_are_read_by_one_process_and_others_by_each():
    whole, sharded = phases(num_gpus=4)["host"], phases(num_gpus=4, shard=True)["host"]
    assert whole.parts["loaded weights"] == 4 * 4e9
    assert sharded.parts["loaded weights"] == 4e9
    with_reference = phases(num_gpus=4, shard=True, kl_beta=0.1)["host"]
    assert with_reference.parts["loaded weights"] == 4 * 4e9


def test_a_processor_holds_everything_on_the_host():
    found = phases(Machine("", 0, 0, True, 64e9))
    assert found.keys() == {"update", "answers"}
    assert found["update"].limit_bytes == 64e9
    assert found["update"].parts["moments"] == 8e9
    assert "bfloat16 copies" not in found["update"].parts


def test_what_a_trainer_or_an_engine_of_ones_own_takes_is_not_planned():
    plan = plan_memory(recipe(trainer="mine:train"), BILLION, H100)
    assert [phase.name for phase in plan.phases] == ["answers"]


def test_a_run_on_a_window_is_planned_for_its_answers():
    value = {
        "name": "there",
        "base": {"path": "toy"},
        "problems": QUESTIONS,
        "window": {"uri": "s3://bucket/window"},
        "extrapolation": {"targets": [20]},
        "evaluation": {**EVALUATION, "gpu_memory_fraction": 0.03},
    }
    window_recipe = check_run_recipe(value, "recipe")
    plan = plan_memory(window_recipe, BILLION, H100)
    assert [phase.name for phase in plan.phases] == ["answers"]
    with pytest.raises(ResourceError, match=r"answers would take .* of 2.4 GB: .*what fits: eval"):
        check_plan(window_recipe, plan)


@pytest.mark.parametrize(
    ("card_gb", "training", "told"),
    [
        (40, {}, "training.rollouts.sleep: true"),
        (40, {}, "training.completions_per_device_batch: 8"),
        (48, {"gradient_checkpointing": False}, "training.gradient_checkpointing: true"),
        (40, {}, "training.lora: {rank: 32}"),
        (40, {}, "training.shard: true, training.num_gpus: 2"),
        (36, {"num_gpus": 2}, "training.shard: true, training.num_gpus: 4"),
        (32, LONG, "training.max_completion_tokens: 4096"),
    ],
)
def test_each_kind_of_change_is_told_where_it_makes_a_recipe_fit(card_gb, training, told):
    chosen = recipe(**training)
    place = planned_machine(card_gb, chosen.training.num_gpus)
    plan = plan_memory(chosen, BILLION, place)
    assert not plan.fits
    assert told in [words_of(change) for change in changes_that_fit(chosen, plan)]


def test_what_no_change_can_fit_is_told_so():
    plan = plan_memory(recipe(), BILLION, planned_machine(1, 1))
    with pytest.raises(ResourceError, match="no few changes of it fit: take a smaller base"):
        check_plan(recipe(), plan)


def test_a_plan_is_a_table_whose_parts_add_up():
    first, *lines = plan_memory(recipe(), BILLION, H100).lines()
    assert first == "1,000.0 M parameters, 1 x GPU with 80 GB"
    update = next(line for line in lines if line.startswith("update"))
    total, _, parts = update.removeprefix("update").partition(" of 80.0 GB: ")
    sizes = [float(part.rpartition(" ")[2]) for part in parts.split(", ")]
    assert sum(sizes) == pytest.approx(float(total), abs=0.1 * len(sizes))


def test_this_machine_has_no_more_memory_than_its_container(monkeypatch, tmp_path):
    physical = machine.this_machine("cpu").host_bytes
    limit = Path(tmp_path) / "memory.max"
    monkeypatch.setattr(machine, "CGROUP_LIMIT", limit)
    limit.write_text("1000000\n")
    assert machine.this_machine("cpu").host_bytes == 1e6
    limit.write_text("max\n")
    assert machine.this_machine("cpu").host_bytes >= physical


def test_the_toy_is_planned_by_its_own_config():
    assert read_model(str(TOY_BASE)).num_parameters == pytest.approx(0.8e6, rel=0.05)

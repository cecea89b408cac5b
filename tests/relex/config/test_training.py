"""What a training may not combine, each by the name of the field that has to change."""

from typing import Any

import pytest

from relex.config import TrainingConfig, check_recipe
from relex.errors import RecipeError

VALUE: dict[str, Any] = {
    "name": "check",
    "base": {"path": "toy"},
    "problems": {
        "train": {"kind": "toy", "split": "train"},
        "validation": {"kind": "toy", "split": "validation"},
        "test": [{"name": "toy", "source": {"kind": "toy", "split": "test"}}],
    },
    "rewards": [{"reward": "exact_match"}],
    "extrapolation": {"targets": [40]},
}


def training(**fields: Any) -> TrainingConfig:
    stated = {"steps": 10, "learning_rate": 1e-6, **fields}
    return check_recipe({**VALUE, "training": stated}, "recipe").training


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shard": True}, r"training.shard: .* num_gpus is 1; raise num_gpus, or leave shard out"),
        (
            {"shard": True, "num_gpus": 2, "master_dtype": "bfloat16"},
            "training.shard: splits float32 masters, found master_dtype bfloat16",
        ),
        ({"shard": True, "num_gpus": 2, "lora": {}}, "training.shard: adapters are not sharded"),
        (
            {"shard": True, "num_gpus": 2, "lora": {"quantize": True}},
            "training.shard: adapters are not sharded",
        ),
        (
            {"lora": {}, "snapshot_dtype": "rounded"},
            "training.snapshot_dtype: adapters are .* kept",
        ),
        ({"lora": {}, "master_dtype": "bfloat16"}, "training.master_dtype: adapters are trained"),
        (
            {"lora": {"quantize": True}, "rollouts": {"engine": "vllm"}},
            "training.lora.quantize: .* found rollouts.engine vllm",
        ),
        ({"lora": {"targets": [""]}}, "training.lora.targets.0: "),
        ({"lora": {"rank": 0}}, "training.lora.rank: "),
        (
            {"rollouts": {"tensor_parallel_size": 2}},
            "training.rollouts.tensor_parallel_size: 2 must divide num_gpus 1",
        ),
        ({"rollouts": {"max_num_seqs": 4097}}, "training.rollouts.max_num_seqs: .* 4096"),
        ({"rollouts": {"engine": "vllm_server"}}, "training.rollouts.server_url: '' with engine"),
        ({"rollouts": {"server_url": "http://a"}}, "training.rollouts.server_url: 'http://a' with"),
        (
            {"rollouts": {"engine": "transformers", "sleep": True}},
            "training.rollouts.sleep: the engine transformers shares no memory",
        ),
        (
            {"num_gpus": 2, "rollouts": {"engine": "transformers", "tensor_parallel_size": 2}},
            "training.rollouts.tensor_parallel_size: is not for the engine transformers",
        ),
        (
            {"steps": "auto", "most_steps": 20, "snapshot_steps": [10, 20]},
            "training.snapshot_steps: with steps: auto every step is kept",
        ),
        (
            {"steps": "auto", "most_steps": 20, "trainer": "mine:train"},
            r"training.steps: auto is not for a trainer of your own \(mine:train\)",
        ),
        ({"rollouts": "vllm"}, "training.rollouts: input should be a valid dictionary"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        training(**fields)


def test_adapters_are_kept_in_float32_unless_it_is_said_otherwise() -> None:
    assert training().snapshot_dtype == "auto"
    assert training(lora={}).snapshot_dtype == "float32"


def test_what_is_planned_for_the_run_is_planned_for_the_most_steps() -> None:
    config = training(steps="auto", most_steps=20)
    assert config.kept_steps == tuple(range(1, 21))
    assert config.rolling_steps == training(steps=20).rolling_steps
    with pytest.raises(RecipeError, match="10 is not beyond the window, which ends at step 20"):
        check_recipe(
            VALUE
            | {"training": {"steps": "auto", "most_steps": 20, "learning_rate": 1e-6}}
            | {"extrapolation": {"targets": [10]}},
            "recipe",
        )

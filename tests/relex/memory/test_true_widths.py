"""The plan of layers as wide as those of true models, in tensors without memory.

torch's own trackers say what a forward and backward pass would allocate. Three layers are enough:
what grows with their number is counted exactly elsewhere.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed import destroy_process_group, init_process_group
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoConfig, AutoModelForCausalLM

from relex.memory import read_model
from relex.memory.training import state_parts, update_parts
from tests.trainings import training_of

CONFIGS = Path(__file__).parent / "configs"
NUM_ROWS, LENGTH = 4, 4096
NUM_PROCESSES = 8
COUNTED = {"weights", "gradients", "gathered layers", "bfloat16 copies", "activations"}


@pytest.fixture
def folder(tmp_path) -> Callable[[str], Path]:
    """The config of a published model with three layers."""

    def write(name: str) -> Path:
        config = json.loads((CONFIGS / f"{name}.json").read_text())
        config["num_hidden_layers"] = config["max_window_layers"] = 3
        (tmp_path / "config.json").write_text(json.dumps(config))
        return Path(tmp_path)

    return write


def planned_bytes(folder: Path, **changes: Any) -> float:
    model = read_model(str(folder))
    training = training_of(model, NUM_ROWS, LENGTH, **changes)
    parts = state_parts(training) | update_parts(training)
    return sum(size for name, size in parts.items() if name in COUNTED)


def build(folder: Path) -> Any:
    model = AutoModelForCausalLM.from_config(
        AutoConfig.from_pretrained(folder), dtype=torch.float32
    )
    model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def peak_bytes(tracker: Any, forward: Callable[..., torch.Tensor]) -> float:
    """Of two passes: the second finds the gradients of the first."""
    ids = torch.zeros(NUM_ROWS, LENGTH, dtype=torch.long)
    with tracker:
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                states = forward(input_ids=ids, attention_mask=ids + 1, use_cache=False)
            states.float().sum().backward()
            tracker.reset_mod_stats()
    return float(tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"])


@pytest.mark.parametrize("name", ["Qwen2.5-Math-1.5B", "Qwen3-4B-Base"])
def test_a_whole_model_takes_what_is_planned(folder, name):
    where = folder(name)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = build(where)
        tracker = MemTracker()
        tracker.track_external(model)
        peak = peak_bytes(tracker, lambda **batch: model.model(**batch).last_hidden_state)
    assert peak <= planned_bytes(where) <= 1.2 * peak


@pytest.fixture
def processes() -> Iterator[Any]:
    """A mesh of processes that are not there."""
    init_process_group("fake", rank=0, world_size=NUM_PROCESSES, store=FakeStore())
    yield init_device_mesh("cpu", (NUM_PROCESSES,))
    destroy_process_group()


@pytest.mark.parametrize("name", ["Qwen3-4B-Base", "Qwen3-8B-Base"])
def test_a_sharded_model_takes_no_more_than_is_planned(folder, name, processes):
    where = folder(name)
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=torch.bfloat16
    )
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = build(where)
        for layer in model.model.layers:
            fully_shard(layer, mesh=processes, mp_policy=policy)
        fully_shard(model, mesh=processes, mp_policy=policy)
        tracker = FSDPMemTracker(model)
        peak = peak_bytes(tracker, lambda **batch: model(**batch, logits_to_keep=1).logits)
    planned = planned_bytes(where, num_processes=NUM_PROCESSES, is_sharded=True)
    assert peak <= planned <= 1.4 * peak

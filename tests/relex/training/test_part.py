"""Parts of snapshots: written while the weights stand still, each by its process, read as one."""

import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relex.checkpoints import TensorInfo
from relex.errors import TrainingError
from relex.training.part import JoinedParts, PartWriter, own_part, part_path, write_part

SCHEMA = {
    "layer.weight": TensorInfo((2, 3), torch.bfloat16),
    "norm.weight": TensorInfo((3,), torch.bfloat16),
}


def state(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"norm.weight": torch.full((3,), value), "layer.weight": torch.full((2, 3), value)}


class GatedState(dict[str, torch.Tensor]):
    """Weights that can be read only when the gate is open."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__(weights)
        self.gate = threading.Event()

    def get(self, name: str, default: None = None) -> torch.Tensor | None:  # type: ignore[override]
        self.gate.wait()
        return super().get(name, default)


def test_training_goes_on_while_weights_are_copied_and_waits_before_they_change(
    tmp_path: Path,
) -> None:
    writer = PartWriter(tmp_path, SCHEMA, {})
    weights = GatedState(state(value=1.0))
    writer.begin(1, weights)  # returns although nothing can be read yet
    waiting = threading.Thread(target=writer.copied)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()

    weights.gate.set()
    waiting.join()
    for tensor in weights.values():
        tensor.fill_(2.0)
    found = JoinedParts([part_path(tmp_path, 1, 0)], SCHEMA)
    assert found.read("layer.weight").tolist() == [1.0] * 6


def test_room_is_made_before_anything_is_written(tmp_path: Path) -> None:
    found = []
    writer = PartWriter(tmp_path, SCHEMA, {})
    writer.begin(1, state(), lambda: found.extend(tmp_path.iterdir()))
    writer.copied()
    assert found == []
    assert [path.name for path in tmp_path.iterdir()] == ["step_000001-0.safetensors"]


def test_weights_that_are_not_finite_are_told_before_they_change(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path, SCHEMA, {})
    broken = state()
    broken["norm.weight"][1] = torch.inf
    writer.begin(1, broken)
    with pytest.raises(TrainingError, match=r"step 1: .*norm\.weight.*not finite.*lower"):
        writer.copied()


@given(
    rows=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    span=st.tuples(st.integers(0, 60), st.integers(0, 60)),
)
def test_rows_of_several_processes_read_as_one_tensor(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], span: tuple[int, int]
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    whole = torch.arange(3.0 * sum(rows)).reshape(-1, 3)
    schema = {"w": TensorInfo(tuple(whole.shape), torch.float32)}
    paths = [part_path(folder, 1, part) for part in range(len(rows))]
    for path, own in zip(paths, torch.split(whole, rows), strict=True):
        write_part(path, 1, {"w": own}, {"w": TensorInfo(tuple(own.shape), torch.float32)}, {})
    joined = JoinedParts(paths, schema)
    assert torch.equal(joined.read("w"), whole.reshape(-1))
    start, stop = sorted(min(end, whole.numel()) for end in span)
    assert torch.equal(joined.read("w", start, stop), whole.reshape(-1)[start:stop])


def test_rows_that_are_missing_are_named(tmp_path: Path) -> None:
    write_part(part_path(tmp_path, 1, 0), 1, state(), SCHEMA, {})
    with pytest.raises(TrainingError, match=r"have 6 of 12 elements of layer\.weight"):
        more = {**SCHEMA, "layer.weight": TensorInfo((4, 3), torch.bfloat16)}
        JoinedParts([part_path(tmp_path, 1, 0)], more)


def test_what_every_process_has_whole_is_the_first_ones_part() -> None:
    assert own_part(state(), SCHEMA, is_first=True)[1] == SCHEMA
    assert own_part(state(), SCHEMA, is_first=False) == ({}, {})


@pytest.mark.gpu
def test_weights_of_a_gpu_are_those_that_the_trainer_had_queued(tmp_path: Path) -> None:
    """Copied on a stream of their own, after what was queued before and cast on the way."""
    weights = {"w": torch.zeros(1 << 24, device="cuda")}
    schema = {"w": TensorInfo((1 << 24,), torch.bfloat16)}
    writer = PartWriter(tmp_path, schema, {})
    for step in range(1, 4):
        for _ in range(100):
            weights["w"].add_(0.5)
        writer.begin(step, weights)
        writer.copied()
    for step in range(1, 4):
        found = JoinedParts([part_path(tmp_path, step, 0)], schema).read("w")
        assert bool((found == 50 * step).all())

import subprocess
import sys
from collections.abc import Iterator
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from relex.checkpoints import TensorInfo
from relex.errors import StorageError, WindowError
from relex.storage.folder import FolderStore
from relex.window.codec import CastSnapshot, DeltaFile, Snapshot, decode_blocks, write_delta
from relex.window.codec.patterns import patterns
from tests.snapshots import DeltaSnapshot, TensorsAtHand

Tensors = dict[str, torch.Tensor]

SHAPES = {"matrix": (20, 13), "vector": (64,), "scalar": (), "empty": (0, 3)}
DTYPES = {
    "matrix": torch.bfloat16,
    "vector": torch.float32,
    "scalar": torch.int64,
    "empty": torch.float16,
}


def random_steps(seed: int, num_steps: int) -> list[Tensors]:
    """Tensors of several dtypes and shapes, and what they become step after step."""
    random = np.random.default_rng(seed)
    tensors = {
        name: np.zeros(shape, f"<u{DTYPES[name].itemsize}") for name, shape in SHAPES.items()
    }
    steps = []
    for _ in range(num_steps + 1):
        for name, array in tensors.items():
            rate = random.choice([0.0, 0.02, 0.5, 1.0])
            drawn = random.integers(0, 256, array.nbytes, np.uint8).view(array.dtype)
            changed = random.random(array.shape) < rate
            tensors[name] = np.where(changed, drawn.reshape(array.shape), array)
        steps.append({name: as_tensor(array, DTYPES[name]) for name, array in tensors.items()})
    return steps


def as_tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(array.view(f"<i{array.itemsize}").copy()).view(dtype)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()


def assert_same(found: Snapshot, expected: Tensors) -> None:
    assert found.tensors == TensorsAtHand(expected).tensors
    for name, tensor in expected.items():
        assert bits(found.read(name)) == bits(tensor)


def replayed(base: Tensors, deltas: list[DeltaFile]) -> Iterator[Snapshot]:
    snapshot: Snapshot = TensorsAtHand(base)
    for delta in deltas:
        snapshot = DeltaSnapshot(delta, snapshot)
        yield snapshot


@pytest.fixture
def deltas_of(delta_of, small_blocks):
    """Writes neighbouring snapshots as a chain of delta files."""

    def write(steps: list[Tensors]) -> list[DeltaFile]:
        pairs = enumerate(pairwise(steps))
        return [delta_of(f"{row}", after, before) for row, (before, after) in pairs]

    return write


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.integers(0, 2**32))
def test_every_prefix_of_a_chain_replays(deltas_of, seed) -> None:
    steps = random_steps(seed, num_steps=4)
    for snapshot, expected in zip(replayed(steps[0], deltas_of(steps)), steps[1:], strict=True):
        assert_same(snapshot, expected)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.integers(0, 2**32))
def test_an_anchor_is_complete_and_needs_nothing(delta_of, small_blocks, seed) -> None:
    tensors = random_steps(seed, num_steps=1)[1]
    anchor = delta_of("anchor", tensors)
    assert_same(DeltaSnapshot(anchor), tensors)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.integers(0, 2**32))
def test_steps_are_decoded_together_before_any_is_applied(deltas_of, small_blocks, seed) -> None:
    steps = random_steps(seed, num_steps=4)
    deltas = deltas_of(steps)
    for name, tensor in steps[0].items():
        current = tensor.reshape(-1).clone()
        blocks_of = [delta.blocks(name, 0, len(current)) for delta in deltas]
        changes = iter(decode_blocks(list(chain.from_iterable(blocks_of)), tensor.itemsize))
        for expected in steps[1:]:
            for block in patterns(current).split(small_blocks) if len(current) else ():
                next(changes).apply(block)
            assert bits(current) == bits(expected[name])


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (60, 70), (64, 128), (130, 260), (5, 5)])
def test_any_part_of_a_tensor_is_read(deltas_of, start, stop) -> None:
    steps = random_steps(seed=3, num_steps=1)
    (snapshot,) = replayed(steps[0], deltas_of(steps))
    expected = steps[1]["matrix"].reshape(-1)[start:stop]
    assert bits(snapshot.read("matrix", start, stop)) == bits(expected)


def test_the_same_snapshots_give_the_same_bytes(delta_of, small_blocks, tmp_path) -> None:
    before, after = random_steps(seed=5, num_steps=1)
    delta_of("one", after, before)
    delta_of("two", after, before)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_file_tells_what_it_holds_to_any_safetensors_reader(delta_of, tmp_path) -> None:
    before, after = random_steps(seed=5, num_steps=1)
    delta_of("step", after, before)
    with safe_open(tmp_path / "step", "np") as file:
        assert set(file.keys()) == set(SHAPES)
        assert file.metadata()["format"] == "relex-delta-2"


def test_changes_are_counted_by_tensor(delta_of) -> None:
    before = {"a": torch.zeros(10), "b": torch.zeros(10)}
    after = {"a": torch.ones(10), "b": torch.zeros(10)}
    delta = delta_of("step", after, before)
    assert [delta.num_changed(name) for name in "ab"] == [10, 0]


def test_a_float32_window_starts_from_a_bfloat16_base(delta_of) -> None:
    base = TensorsAtHand({"a": torch.randn(100).bfloat16(), "n": torch.arange(3)})
    cast = CastSnapshot(base, {"a": torch.float32})
    after = {"a": base.read("a").float() * 1.0001, "n": torch.arange(3)}
    delta = delta_of("step", after, {name: cast.read(name) for name in cast.tensors})
    assert_same(DeltaSnapshot(delta, cast), after)


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ({"a": torch.zeros(3)}, "a is float32.2., in the previous snapshot it is float32.3."),
        ({"a": torch.zeros(2).half()}, "in the previous snapshot it is float16"),
        ({"b": torch.zeros(2)}, "lacks b, which the previous snapshot has"),
    ],
)
def test_neighbours_that_differ_in_kind_are_refused(delta_of, before, message) -> None:
    with pytest.raises(WindowError, match=message):
        delta_of("step", {"a": torch.zeros(2)}, before)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write_delta(tmp_path / "missing" / "step", TensorsAtHand({"a": torch.zeros(2)}))


class Endless:
    """A tensor of bytes that is never in memory: zeros but for some."""

    def __init__(self, num_elements: int, ones: tuple[int, ...]) -> None:
        self.tensors = {"bytes": TensorInfo((num_elements,), torch.uint8)}
        self._ones = ones

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        stop = self.tensors[name].num_elements if stop is None else stop
        elements = torch.zeros(stop - start, dtype=torch.uint8)
        for position in self._ones:
            if start <= position < stop:
                elements[position - start] = 1
        return elements


@pytest.mark.slow
def test_a_tensor_of_more_than_32_bits_of_elements_comes_back(tmp_path) -> None:
    ones = (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 2)
    before, after = Endless(2**32 + 3, ()), Endless(2**32 + 3, ones)
    write_delta(tmp_path / "step", after, before)
    delta = DeltaFile(FolderStore(tmp_path), "step")
    assert delta.num_changed("bytes") == len(ones)
    for position in ones:
        start = position // delta.block_elements * delta.block_elements
        stop = min(start + delta.block_elements, 2**32 + 3)
        found = before.read("bytes", start, stop)
        delta.decode("bytes", start, found)
        assert position - start in found.nonzero()


MEMORY_SCRIPT = """
import resource, sys
from pathlib import Path
import torch
from relex.checkpoints import TensorInfo
from relex.window.codec import encode_block, write_delta

class Noise:
    tensors = {"a": TensorInfo((300_000_000,), torch.float32)}
    def __init__(self, size):
        self.size = size
    def read(self, name, start, stop):
        weights = torch.randn(stop - start, generator=torch.Generator().manual_seed(start))
        return weights * self.size

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

encode_block(None, torch.zeros(10))
before = peak_bytes()
write_delta(Path(sys.argv[1]), Noise(1.0), Noise(1.000001))
print(peak_bytes() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_tensor(tmp_path) -> None:
    command = [sys.executable, "-c", MEMORY_SCRIPT, str(tmp_path / "step")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(output) < 600_000_000

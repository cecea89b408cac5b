import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relex.checkpoints.tensor_file import DTYPES
from relex.errors import WindowError
from relex.window.codec import EncodedBlock, decode_blocks, encode_block
from relex.window.codec.patterns import patterns


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def from_bits(data: bytes, dtype: torch.dtype) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(dtype)


def decoded(block: EncodedBlock, previous: torch.Tensor) -> torch.Tensor:
    current = previous.clone()
    (change,) = decode_blocks([block], previous.itemsize)
    change.apply(patterns(current))
    return current


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tensors of any bits of one dtype; the second is independent, or a few of its differ."""
    dtype = draw(st.sampled_from(list(DTYPES.values())))
    num_bytes = dtype.itemsize * draw(st.integers(1, 700))
    random = draw(st.randoms(use_true_random=False))
    most = 1 if dtype == torch.bool else 255
    previous = bytes(random.randint(0, most) for _ in range(num_bytes))
    num_drawn = draw(st.sampled_from([0, 1, num_bytes // 64, num_bytes // 3, num_bytes]))
    current = bytearray(previous)
    for index in random.sample(range(num_bytes), num_drawn):
        current[index] = random.randint(0, most)
    return from_bits(previous, dtype), from_bits(current, dtype)


def weights(dtype: torch.dtype, num_elements: int = 1 << 14) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return (torch.randn(num_elements, generator=random) * 0.02).to(dtype)


def moved(previous: torch.Tensor, size: float) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    return (previous.float() + size * torch.randn(len(previous), generator=random)).to(
        previous.dtype
    )


@given(neighbours())
def test_any_bits_of_any_dtype_come_back(pair) -> None:
    previous, current = pair
    block = encode_block(previous, current)
    assert bits(decoded(block, previous)) == bits(current)


@given(neighbours())
def test_any_bits_come_back_without_a_previous_snapshot(pair) -> None:
    current = pair[1]
    block = encode_block(None, current)
    assert bits(decoded(block, torch.zeros_like(current))) == bits(current)


@given(neighbours())
def test_the_moves_are_those_of_the_elements_whose_bits_differ(pair) -> None:
    previous, current = pair
    block = encode_block(previous, current)
    (change,) = decode_blocks([block], previous.itemsize)
    moves = change.sparse(patterns(previous))
    expected = (patterns(previous) != patterns(current)).nonzero()[:, 0].tolist()
    assert moves.position_C[moves.move_C != 0].tolist() == expected
    assert block.facts.num_changed == len(expected)


def test_the_sign_of_zero_and_the_payload_of_a_nan_are_changes() -> None:
    previous = from_bits(bytes.fromhex("0000 0000 c07f c07f"), torch.bfloat16)
    current = from_bits(bytes.fromhex("0000 0080 c07f c17f"), torch.bfloat16)
    block = encode_block(previous, current)
    assert block.facts.num_changed == 2
    assert bits(decoded(block, previous)) == bits(current)


def test_equal_elements_take_no_bytes() -> None:
    block = encode_block(weights(torch.bfloat16), weights(torch.bfloat16))
    assert (block.facts.kind, len(block.payload)) == ("unchanged", 0)


@pytest.mark.parametrize(
    ("dtype", "size", "kind"),
    [
        (torch.bfloat16, 1e-6, "sparse"),
        (torch.float32, 1e-6, "dense"),
        (torch.float32, 10.0, "whole"),
    ],
)
def test_the_kind_follows_how_much_moved(dtype, size, kind) -> None:
    previous = weights(dtype)
    assert encode_block(previous, moved(previous, size)).facts.kind == kind


@pytest.mark.parametrize("size", [1e-6, 1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_no_move_costs_more_than_plain_compression(dtype, size) -> None:
    previous = weights(dtype)
    current = moved(previous, size)
    dense, whole = encode_block(previous, current), encode_block(None, current)
    assert len(dense.payload) <= len(whole.payload)


def test_a_step_of_reinforcement_learning_takes_one_percent() -> None:
    previous = weights(torch.float32, 1 << 20)
    current = moved(previous, 4e-7).bfloat16()
    block = encode_block(previous.bfloat16(), current)
    assert 0.014 < block.facts.num_changed / len(current) < 0.016
    assert len(block.payload) < 0.01 * current.nbytes


def test_positions_outside_of_the_block_are_refused() -> None:
    previous = weights(torch.bfloat16)
    block = encode_block(previous, moved(previous, 1e-6))._replace(num_elements=100)
    with pytest.raises(WindowError, match=r"changes element \d+ of 100"):
        decode_blocks([block], 2)


def test_far_moves_outside_of_the_entries_are_refused() -> None:
    previous = weights(torch.float32)
    current = previous.clone()
    current[5] += 1.0
    block = encode_block(previous, current)
    payload = bytearray(block.payload)
    payload[3] += 1  # entries 2 and halves 1, then the advance to the far move
    with pytest.raises(WindowError, match="end at entry 3 of 2"):
        decode_blocks([block._replace(payload=bytes(payload))], 4)


@pytest.mark.gpu
@pytest.mark.parametrize("size", [0.0, 1e-6, 1e-3])
def test_tensors_on_a_gpu_give_the_same_block(size) -> None:
    previous = weights(torch.bfloat16)
    current = moved(previous, size)
    assert encode_block(previous.cuda(), current.cuda()) == encode_block(previous, current)

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relex.checkpoints.tensor_file import DTYPES
from relex.errors import WindowError
from relex.window.codec import EncodedBlock, decode_block, decode_changes, encode_block
from relex.window.codec.patterns import patterns


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def from_bits(data: bytes, dtype: torch.dtype) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(dtype)


def decoded(block: EncodedBlock, previous: torch.Tensor) -> torch.Tensor:
    current = previous.clone()
    where, new = decode_block(block, patterns(previous))
    patterns(current)[where] = new
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
def test_the_changes_are_the_elements_whose_bits_differ(pair) -> None:
    previous, current = pair
    position_C, new_C = decode_changes(encode_block(previous, current), patterns(previous))
    old, new = (tensor.view(torch.uint8).reshape(len(tensor), -1) for tensor in pair)
    expected = (old != new).any(dim=1).nonzero().flatten()
    assert position_C.tolist() == expected.tolist()
    assert new_C.tobytes() == bits(current[expected])


@given(neighbours())
def test_the_number_of_changes_is_counted(pair) -> None:
    block = encode_block(*pair)
    assert block.num_changed == len(decode_changes(block, patterns(pair[0]))[0])


def test_the_sign_of_zero_and_the_payload_of_a_nan_are_changes() -> None:
    previous = from_bits(bytes.fromhex("0000 0000 c07f c07f"), torch.bfloat16)
    current = from_bits(bytes.fromhex("0000 0080 c07f c17f"), torch.bfloat16)
    position_C, new_C = decode_changes(encode_block(previous, current), patterns(previous))
    assert position_C.tolist() == [1, 3]
    assert new_C.tobytes() == bytes.fromhex("0080 c17f")


def test_equal_elements_take_no_bytes() -> None:
    block = encode_block(weights(torch.bfloat16), weights(torch.bfloat16))
    assert (block.kind, block.num_bytes) == ("unchanged", 0)


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
    assert encode_block(previous, moved(previous, size)).kind == kind


@pytest.mark.parametrize("size", [1e-6, 1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_no_move_costs_more_than_plain_compression(dtype, size) -> None:
    previous = weights(dtype)
    current = moved(previous, size)
    assert encode_block(previous, current).num_bytes <= encode_block(None, current).num_bytes


def test_a_step_of_reinforcement_learning_takes_one_percent() -> None:
    previous = weights(torch.float32, 1 << 20)
    current = moved(previous, 4e-7).bfloat16()
    block = encode_block(previous.bfloat16(), current)
    assert 0.014 < block.num_changed / len(current) < 0.016
    assert block.num_bytes < 0.01 * current.nbytes


@pytest.mark.parametrize("size", [1e-6, 1e-4])
def test_another_previous_snapshot_is_noticed(size) -> None:
    previous = weights(torch.bfloat16)
    block = encode_block(previous, moved(previous, size))
    with pytest.raises(WindowError, match="encoded against another snapshot"):
        decoded(block, moved(previous, 0.01))


@pytest.mark.gpu
@pytest.mark.parametrize("size", [0.0, 1e-6, 1e-3])
def test_tensors_on_a_gpu_give_the_same_block(size) -> None:
    previous = weights(torch.bfloat16)
    current = moved(previous, size)
    assert encode_block(previous.cuda(), current.cuda()) == encode_block(previous, current)

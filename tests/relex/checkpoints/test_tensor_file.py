"""Files of safetensors are read, safetensors reads ours, and damaged ones are refused."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from relex.checkpoints import TensorFileWriter, TensorInfo, write_tensor_file
from relex.checkpoints.tensor_file import DTYPES, open_tensor_file
from relex.errors import CheckpointError, StorageError

FULL_DEVICE = Path("/dev/full")


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def every_dtype() -> dict[str, torch.Tensor]:
    numbers = torch.tensor([[0, 1, 2], [3, 4, 5]])
    return {str(dtype): numbers.to(dtype) for dtype in DTYPES.values()}


def raw_file(path: Path, header: Any, data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_files_of_safetensors_are_read_bit_for_bit(tmp_path: Path) -> None:
    tensors = every_dtype() | {"scalar": torch.tensor(2.5), "empty": torch.empty(0, 3)}
    save_file(tensors, tmp_path / "file.safetensors")
    found = open_tensor_file(tmp_path / "file.safetensors")
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.read_tensor(name).shape == tensor.shape
        assert bits(found.read_tensor(name)) == bits(tensor)


def test_safetensors_reads_what_is_written_bit_for_bit(tmp_path: Path) -> None:
    tensors = every_dtype() | {"scalar": torch.tensor(2.5), "empty": torch.empty(0, 3)}
    schema = {name: TensorInfo(tuple(t.shape), t.dtype) for name, t in tensors.items()}
    write_tensor_file(tmp_path / "f.safetensors", schema, iter(tensors.items()), {"format": "pt"})
    found = load_file(tmp_path / "f.safetensors")
    assert {name: bits(t) for name, t in found.items()} == {n: bits(t) for n, t in tensors.items()}


def test_any_range_of_a_tensor_can_be_read(tmp_path: Path) -> None:
    save_file({"a": torch.arange(3), "b": torch.arange(10.0)}, tmp_path / "f.safetensors")
    file = open_tensor_file(tmp_path / "f.safetensors")
    assert file.read("b", 3, 7).tolist() == [3, 4, 5, 6]
    assert file.read("b", 7).tolist() == [7, 8, 9]
    assert file.read("b", 4, 4).numel() == 0


def test_a_tensor_may_be_written_in_pieces_between_others(tmp_path: Path) -> None:
    schema = {n: TensorInfo((2, 2), torch.float32) for n in "ab"}
    with TensorFileWriter(tmp_path / "f.safetensors", schema, {}) as writer:
        for name, elements in [("a", [1, 2, 3]), ("b", [5]), ("a", [4]), ("b", [6, 7, 8])]:
            writer.append(name, torch.tensor(elements))
    found = load_file(tmp_path / "f.safetensors")
    assert found["a"].tolist() == [[1, 2], [3, 4]]
    assert found["b"].tolist() == [[5, 6], [7, 8]]


def test_shapes_may_be_told_while_the_file_is_written(tmp_path: Path) -> None:
    """Also those of no elements, and not all that might have come."""
    path, first = tmp_path / "f.safetensors", TensorInfo((2,), torch.float32)
    later = ["x" * 300, "empty", "never"]
    with TensorFileWriter(path, {"a": first}, {"format": "pt"}, later) as writer:
        writer.add("x" * 300, TensorInfo((2, 3), torch.int64))
        writer.append("x" * 300, torch.arange(6))
        writer.add("empty", TensorInfo((0, 3), torch.float32))
        writer.append("a", torch.ones(2))
    found = load_file(path)
    assert found.keys() == {"a", "x" * 300, "empty"}
    assert found["a"].tolist() == [1, 1]
    assert found["x" * 300].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert open_tensor_file(path).metadata == {"format": "pt"}


def test_a_tensor_that_was_not_finished_is_named(tmp_path: Path) -> None:
    schema = {"a": TensorInfo((3,), torch.float32)}
    with (
        pytest.raises(CheckpointError, match="a got 2 of its 3 elements"),
        TensorFileWriter(tmp_path / "f.safetensors", schema, {}) as writer,
    ):
        writer.append("a", torch.zeros(2))


def test_more_elements_than_a_tensor_has_are_refused(tmp_path: Path) -> None:
    schema = {"a": TensorInfo((3,), torch.float32)}
    with (
        pytest.raises(CheckpointError, match="a has 3 elements, got more"),
        TensorFileWriter(tmp_path / "f.safetensors", schema, {}) as writer,
    ):
        writer.append("a", torch.zeros(4))


def test_the_error_of_the_caller_is_not_hidden_by_a_tensor_that_is_not_whole(
    tmp_path: Path,
) -> None:
    schema = {"a": TensorInfo((3,), torch.float32)}
    with (
        pytest.raises(KeyboardInterrupt),
        TensorFileWriter(tmp_path / "f.safetensors", schema, {}),
    ):
        raise KeyboardInterrupt


def test_a_value_that_overflows_the_dtype_of_the_file_is_refused(tmp_path: Path) -> None:
    schema = {"a": TensorInfo((1,), torch.float16)}
    with (
        pytest.raises(CheckpointError, match=r"a has values that are not finite in torch\.float16"),
        TensorFileWriter(tmp_path / "f.safetensors", schema, {}) as writer,
    ):
        writer.append("a", torch.tensor([1e6]))


@pytest.mark.skipif(not FULL_DEVICE.exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named() -> None:
    schema = {"a": TensorInfo((1 << 16,), torch.float32)}
    with (
        pytest.raises(StorageError, match="/dev/full: cannot be written: No space left on device"),
        TensorFileWriter(FULL_DEVICE, schema, {}) as writer,
    ):
        writer.append("a", torch.zeros(1 << 16))


@pytest.mark.parametrize("num_bytes", [0, 7, 8, 50, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, num_bytes: int) -> None:
    path = tmp_path / "f.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(CheckpointError, match=r"f\.safetensors: .*(truncated|no safetensors file)"):
        open_tensor_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: is missing"):
        open_tensor_file(tmp_path / "gone.safetensors")


def entry(dtype: str, shape: list[int], start: int, stop: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([], "header is not a JSON object"),
        ({"a": entry("F4", [2], 0, 1)}, "tensor a: cannot be described by .*supported dtypes are"),
        ({"a": {"dtype": "F32"}}, "tensor a: cannot be described"),
        ({"a": entry("F32", [2], 0, 4)}, r"shape \[2\] of F32 needs 8 bytes, its range has 4"),
        (
            {"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 0, 4)},
            "begins at byte 0 of the data, the one before it ends at 4",
        ),
        ({"a": entry("F32", [1], 4, 8)}, "begins at byte 4 of the data, the one before it ends"),
        ({"a": entry("F32", [3], 0, 12)}, "asks for .* bytes, the file has"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, header, message) -> None:
    path = raw_file(tmp_path / "f.safetensors", header, bytes(8))
    with pytest.raises(CheckpointError, match=message):
        open_tensor_file(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    path.write_bytes(struct.pack("<Q", 4) + b"PK\x03\x04" + bytes(100))
    with pytest.raises(CheckpointError, match="header is not JSON"):
        open_tensor_file(path)

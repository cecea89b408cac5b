"""Whatever is wrong with the bytes of a delta file: an error that names it, or the right bits."""

import json
import zlib

import pytest
import torch

from relex.errors import WindowError
from relex.storage.folder import FolderStore
from relex.window.codec import DeltaFile
from relex.window.codec.table import unpack_table
from tests.snapshots import DeltaSnapshot, TensorsAtHand

BEFORE = {"a.weight": torch.linspace(-1, 1, 40).bfloat16(), "b.bias": torch.linspace(0, 1, 9)}
AFTER = {
    "a.weight": torch.where(torch.arange(40) % 9 == 0, 0.5, BEFORE["a.weight"]).bfloat16(),
    "b.bias": BEFORE["b.bias"] * 1.001,
}


@pytest.fixture
def path(delta_of, tmp_path):
    delta_of("step", AFTER, BEFORE)
    return tmp_path / "step"


def read_all(path) -> list[torch.Tensor]:
    delta = DeltaFile(FolderStore(path.parent), path.name)
    snapshot = DeltaSnapshot(delta, TensorsAtHand(BEFORE))
    return [snapshot.read(name) for name in AFTER]


def payload_start(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def with_table(path, change) -> None:
    """Change the table as an attacker would, with a checksum that fits."""
    data = path.read_bytes()
    header = json.loads(data[8 : payload_start(data)])
    table = json.loads(header["__metadata__"]["table"])
    change(table)
    text = json.dumps(table)
    header["__metadata__"].update(table=text, crc32=f"{zlib.crc32(text.encode()):08x}")
    packed = json.dumps(header).encode()
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + data[payload_start(data) :])


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_flipped_bit_never_gives_other_weights(path, bit) -> None:
    data = path.read_bytes()
    num_errors = 0
    for index in range(len(data)):
        path.write_bytes(data[:index] + bytes([data[index] ^ 1 << bit]) + data[index + 1 :])
        try:
            found = read_all(path)
        except WindowError as error:
            assert str(path) in str(error)
            num_errors += 1
        else:
            assert all(map(torch.equal, found, AFTER.values()))
    assert num_errors > 0.9 * len(data)


def test_a_flipped_byte_of_a_tensor_names_the_tensor(path) -> None:
    data = bytearray(path.read_bytes())
    data[payload_start(data) + 12] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(WindowError, match=r"step: a\.weight: a block is damaged"):
        read_all(path)


def test_a_file_cut_anywhere_is_refused(path) -> None:
    data = path.read_bytes()
    for num_bytes in range(len(data)):
        path.write_bytes(data[:num_bytes])
        with pytest.raises(WindowError, match=str(path)):
            DeltaFile(FolderStore(path.parent), path.name)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(WindowError, match="nowhere: is missing"):
        DeltaFile(FolderStore(tmp_path), "nowhere")


def test_a_plain_checkpoint_is_no_delta_file(path) -> None:
    from safetensors.torch import save_file

    save_file(AFTER, path, {"format": "pt"})
    with pytest.raises(WindowError, match="no delta file"):
        DeltaFile(FolderStore(path.parent), path.name)


def test_another_previous_snapshot_names_file_and_tensor(path) -> None:
    delta = DeltaFile(FolderStore(path.parent), path.name)
    other = TensorsAtHand({name: tensor + 1 for name, tensor in BEFORE.items()})
    with pytest.raises(
        WindowError, match=r"step: a\.weight: does not follow from the steps before"
    ):
        DeltaSnapshot(delta, other).read("a.weight")


def test_a_previous_snapshot_that_differs_where_nothing_changed_is_an_error_too(path) -> None:
    delta = DeltaFile(FolderStore(path.parent), path.name)
    other = {name: tensor.clone() for name, tensor in BEFORE.items()}
    other["a.weight"][1] += 1
    with pytest.raises(
        WindowError, match=r"step: a\.weight: does not follow from the steps before"
    ):
        DeltaSnapshot(delta, TensorsAtHand(other)).read("a.weight")


def test_what_cannot_be_decoded_leaves_the_elements_as_they_were(delta_of, small_blocks, tmp_path):
    """So what arrived damaged can be read again, and no half of a step is taken for a snapshot."""
    before = torch.linspace(-1, 1, 4 * small_blocks).bfloat16()
    after = torch.where(torch.arange(len(before)) % 9 == 0, 0.5, before).bfloat16()
    delta = delta_of("step", {"a": after}, {"a": before})
    data = bytearray((tmp_path / "step").read_bytes())
    data[-1] ^= 1  # the first blocks are right, the last one is not
    (tmp_path / "step").write_bytes(data)
    found = before.clone()
    with pytest.raises(WindowError, match="a block is damaged"):
        delta.decode("a", 0, found)
    assert torch.equal(found, before)


def test_an_encoded_step_needs_the_snapshot_before(path) -> None:
    delta = DeltaFile(FolderStore(path.parent), path.name)
    with pytest.raises(WindowError, match=r"step: a\.weight: needs the snapshot before it"):
        DeltaSnapshot(delta).read("a.weight")


def set_shape(table) -> None:
    table["tensors"]["a.weight"]["shape"] = [1 << 40]


def set_dtype(table) -> None:
    table["tensors"]["a.weight"]["dtype"] = "F128"


def set_wider_dtype(table) -> None:
    table["tensors"]["a.weight"]["dtype"] = "F32"


def set_kind(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][0] = "gone"


def set_fewer_entries(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][2] -= 2


def set_more_entries(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][2] += 2


def set_no_entries(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][2] = 0


def set_more_entries_than_any_block(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][2] = 1 << 60


def set_negative_entries(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][2] = -1


def set_more_far_moves(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][3] += 2


def set_longer_streams(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][6][0] += 1


def shift_a_stream(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][6][0] += 1
    table["tensors"]["a.weight"]["blocks"][0][6][1] -= 1


def join_streams(table) -> None:
    first, second, *others = table["tensors"]["a.weight"]["blocks"][0][6]
    table["tensors"]["a.weight"]["blocks"][0][6] = [first + second, *others]


def set_huge_blocks(table) -> None:
    table["block_elements"] = 1 << 40


def set_no_blocks(table) -> None:
    table["block_elements"] = 0


def drop_a_tensor(table) -> None:
    del table["tensors"]["b.bias"]


def set_whole(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][0] = "whole"


def set_dense(table) -> None:
    table["tensors"]["a.weight"]["blocks"][0][0] = "dense"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_shape, "does not fit its 1 blocks"),
        (set_dtype, "has dtype F128, known are"),
        (set_wider_dtype, "a.weight is float32.40., in the previous snapshot it is"),
        (set_kind, "cannot be understood"),
        (set_fewer_entries, "cannot be unpacked"),
        (set_more_entries, "cannot be unpacked"),
        (set_no_entries, "cannot be unpacked"),
        (set_more_entries_than_any_block, "cannot be understood"),
        (set_negative_entries, "cannot be understood"),
        (set_more_far_moves, "cannot be unpacked"),
        (set_longer_streams, "its table says"),
        (shift_a_stream, "cannot be unpacked"),
        (join_streams, "has 3 streams, it needs 4"),
        (set_huge_blocks, "cannot be understood"),
        (set_no_blocks, "cannot be understood"),
        (drop_a_tensor, "name different tensors"),
        (set_whole, "has 4 streams, it needs 2"),
        (set_dense, "has 4 streams, it needs 2"),
    ],
)
def test_a_forged_table_is_an_error(path, change, message) -> None:
    with_table(path, change)
    with pytest.raises(WindowError, match=message):
        read_all(path)


@pytest.mark.parametrize("metadata", [None, [], {}, {"format": "relex-delta-2"}])
def test_metadata_without_a_table_are_an_error(metadata) -> None:
    with pytest.raises(WindowError, match=r"no delta file|table is damaged"):
        unpack_table("here", metadata, {})

import json
from pathlib import Path

import pytest
import torch

from relex.checkpoints import Checkpoint
from relex.errors import CheckpointError

A, B = torch.arange(6.0).reshape(2, 3), torch.arange(4).bfloat16()
SHARDS = {
    "model-00001-of-00002.safetensors": {"b": B},
    "model-00002-of-00002.safetensors": {"a": A},
}
INDEX = "model.safetensors.index.json"


def rewrite_index(folder: Path, weight_map: object) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def test_a_sharded_checkpoint_reads_like_a_single_file(save_checkpoint) -> None:
    single = Checkpoint(save_checkpoint("single", {"model.safetensors": {"a": A, "b": B}}))
    sharded = Checkpoint(save_checkpoint("sharded", SHARDS))
    assert single.tensors == sharded.tensors
    for name, expected in {"a": A, "b": B}.items():
        assert torch.equal(single.read_tensor(name), expected)
        assert torch.equal(sharded.read_tensor(name), expected)


def test_the_digest_does_not_depend_on_the_sharding(save_checkpoint) -> None:
    single = Checkpoint(save_checkpoint("single", {"model.safetensors": {"a": A, "b": B}}))
    assert single.digest() == Checkpoint(save_checkpoint("sharded", SHARDS)).digest()


@pytest.mark.parametrize(
    "other",
    [{"a": A + 1, "b": B}, {"a": A.T.contiguous(), "b": B}, {"a": A, "c": B}, {"a": B, "b": A}],
)
def test_the_digest_depends_on_names_shapes_and_values(save_checkpoint, other) -> None:
    one = Checkpoint(save_checkpoint("one", {"model.safetensors": {"a": A, "b": B}}))
    assert one.digest() != Checkpoint(save_checkpoint("two", {"model.safetensors": other})).digest()


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"a": A}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"only pickled weights \(pytorch_model.bin\); relex"):
        Checkpoint(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no weights; relex reads safetensors only"):
        Checkpoint(tmp_path)


def test_a_checkpoint_without_tensors_is_refused(save_checkpoint) -> None:
    with pytest.raises(CheckpointError, match="hollow: holds no tensors"):
        Checkpoint(save_checkpoint("hollow", {"model.safetensors": {}}))


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing: is not a folder"):
        Checkpoint(tmp_path / "nothing")


def test_a_missing_shard_is_named(save_checkpoint) -> None:
    folder = save_checkpoint("sharded", SHARDS)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors: is missing"):
        Checkpoint(folder)


def test_an_index_that_names_a_tensor_its_shard_lacks_is_refused(save_checkpoint) -> None:
    folder = save_checkpoint("sharded", SHARDS)
    shard_of = {name: shard for shard, tensors in SHARDS.items() for name in tensors}
    rewrite_index(folder, shard_of | {"c": shard_of["a"]})
    with pytest.raises(CheckpointError, match="lacks c, which the index puts there"):
        Checkpoint(folder)


def test_a_shard_with_a_tensor_that_the_index_puts_elsewhere_is_refused(save_checkpoint) -> None:
    folder = save_checkpoint("sharded", SHARDS)
    shard = "model-00001-of-00002.safetensors"
    rewrite_index(folder, {"b": shard})
    (folder / shard).write_bytes(
        (
            save_checkpoint("other", {"model.safetensors": {"b": B, "a": A}}) / "model.safetensors"
        ).read_bytes()
    )
    with pytest.raises(CheckpointError, match="holds a, which the index does not put there"):
        Checkpoint(folder)


@pytest.mark.parametrize("shard", ["../model.safetensors", "/etc/passwd", 3])
def test_an_index_that_leaves_its_folder_is_refused(save_checkpoint, shard) -> None:
    folder = save_checkpoint("sharded", SHARDS)
    rewrite_index(folder, {"a": shard})
    with pytest.raises(CheckpointError, match=r"puts a into .*, which is not a file"):
        Checkpoint(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', "\x00"])
def test_a_damaged_index_is_refused(save_checkpoint, text) -> None:
    folder = save_checkpoint("sharded", SHARDS)
    (folder / INDEX).write_text(text)
    with pytest.raises(CheckpointError, match=r"index\.json: is not a safetensors index"):
        Checkpoint(folder)


def test_an_unknown_tensor_is_named(save_checkpoint) -> None:
    base = Checkpoint(save_checkpoint("sharded", SHARDS))
    with pytest.raises(CheckpointError, match="has no tensor c"):
        base.read("c")

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from relex.checkpoints import Checkpoint, write_checkpoint
from relex.errors import CheckpointError, InputError

A, B = torch.arange(6.0).reshape(2, 3), torch.arange(4).bfloat16()
SHARDS = {
    "model-00001-of-00002.safetensors": {"b": B},
    "model-00002-of-00002.safetensors": {"a": A},
}
CHANGED = {"b": B + 1, "a": A - 1}


@pytest.fixture
def base(save_checkpoint) -> Checkpoint:
    return Checkpoint(save_checkpoint("base", SHARDS))


def test_a_checkpoint_is_written_like_its_base(base: Checkpoint, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "out", base, iter(CHANGED.items()))
    for shard, tensors in SHARDS.items():
        with safe_open(tmp_path / "out" / shard, framework="pt") as file:
            assert file.metadata() == {"format": "pt"}
            assert set(file.keys()) == set(tensors)
            assert all(torch.equal(file.get_tensor(name), CHANGED[name]) for name in tensors)
    index = "model.safetensors.index.json"
    assert (tmp_path / "out" / index).read_bytes() == (base.folder / index).read_bytes()


def test_writing_the_base_s_own_tensors_gives_its_digest(base: Checkpoint, tmp_path: Path) -> None:
    tensors = ((name, base.read_tensor(name)) for name in base.tensors)
    write_checkpoint(tmp_path / "out", base, tensors)
    assert Checkpoint(tmp_path / "out").digest() == base.digest()


def test_tensors_are_cast_to_the_dtype_of_the_base(base: Checkpoint, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "out", base, iter({"b": B.float(), "a": A.double()}.items()))
    assert Checkpoint(tmp_path / "out").tensors == base.tensors


def test_config_and_tokenizer_come_along_but_no_other_weights(
    base: Checkpoint, tmp_path: Path
) -> None:
    for name in ("tokenizer.json", "chat_template.jinja", "optimizer.pt", "manifest.json"):
        (base.folder / name).write_text("{}")
    write_checkpoint(tmp_path / "out", base, iter(CHANGED.items()))
    companions = {"config.json", "tokenizer.json", "chat_template.jinja"}
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == companions | set(SHARDS) | {"model.safetensors.index.json"}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": A, "b": B}, "expected tensor b next, found a"),
        ({"b": B}, "expected tensor a next, found None"),
        (CHANGED | {"c": A}, "tensor c is not one of the base's"),
        (CHANGED | {"a": A.T}, r"a has shape \[3, 2\], expected \[2, 3\]"),
        (CHANGED | {"a": A / 0}, "a has values that are not finite in torch.float32"),
        (CHANGED | {"b": torch.full((4,), 3.4e38)}, "not finite in torch.bfloat16"),
    ],
)
def test_wrong_tensors_leave_no_folder(base: Checkpoint, tmp_path: Path, tensors, message) -> None:
    with pytest.raises(CheckpointError, match=message):
        write_checkpoint(tmp_path / "out", base, iter(tensors.items()))
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_folder_that_exists_is_not_overwritten(base: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="out: exists already"):
        write_checkpoint(tmp_path / "out", base, iter(CHANGED.items()))

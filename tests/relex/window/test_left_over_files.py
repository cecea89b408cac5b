"""A checkpoint with files left over from other saves: a folder, S3 and transformers read the same
weights, or the checkpoint is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.errors import CheckpointError, RelexError, WindowError
from relex.storage import open_store
from relex.window import open_source, open_window, pack

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
METADATA = {"format": "pt"}
Weights = dict[str, torch.Tensor]


def weights(seed: int = 0) -> Weights:
    """The toy's, moved by a seed; 0 is what is meant, anything else is left over."""
    toy = load_file(TOY_BASE / SINGLE)
    return {name: tensor + 0.125 * seed for name, tensor in toy.items()}


def save_single(folder: Path, seed: int = 0, name: str = SINGLE) -> None:
    save_file(weights(seed), folder / name, METADATA)


def save_shards(folder: Path, seed: int = 0, num_shards: int = 2, with_index: bool = True) -> None:
    names = sorted(weights())
    shard_of = {
        name: f"model-{1 + row % num_shards:05d}-of-{num_shards:05d}.safetensors"
        for row, name in enumerate(names)
    }
    for shard in set(shard_of.values()):
        inside = {name: weights(seed)[name] for name in names if shard_of[name] == shard}
        save_file(inside, folder / shard, METADATA)
    if with_index:
        save_index(folder, shard_of)


def save_index(folder: Path, shard_of: dict[str, str]) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": shard_of}))


def single_with_an_index_of_itself(folder: Path) -> None:
    save_single(folder)
    save_index(folder, dict.fromkeys(weights(), SINGLE))


READ_ALIKE = {
    "a single file": save_single,
    "shards": save_shards,
    "three shards": lambda folder: save_shards(folder, num_shards=3),
    "a single file with an index of itself": single_with_an_index_of_itself,
    "a single file beside a consolidated one": lambda folder: (
        save_single(folder),
        save_single(folder, 1, "consolidated.safetensors"),
    ),
    "shards beside a consolidated file": lambda folder: (
        save_shards(folder),
        save_single(folder, 1, "consolidated.safetensors"),
    ),
    "shards beside those of another sharding": lambda folder: (
        save_shards(folder, 1, 3),
        save_shards(folder),
    ),
    "a single file beside shards without an index": lambda folder: (
        save_shards(folder, 1, with_index=False),
        save_single(folder),
    ),
    "a single file beside a copy": lambda folder: (
        save_single(folder, 1, "model.old.safetensors"),
        save_single(folder, 1, "z.safetensors"),
        save_single(folder),
    ),
    "shards beside a file of a variant": lambda folder: (
        save_shards(folder),
        save_single(folder, 1, "model.fp16.safetensors"),
    ),
    "shards beside pickled weights": lambda folder: (
        save_shards(folder),
        torch.save(weights(1), folder / "pytorch_model.bin"),
    ),
    "a single file beside the index of pickled weights": lambda folder: (
        save_single(folder),
        (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {}}'),
    ),
}
REFUSED = {
    "a single file beside newer shards": (
        lambda folder: (save_single(folder, 1), save_shards(folder)),
        f"holds {SINGLE} and {INDEX}, which names other files .*remove the one that is not meant",
    ),
    "shards beside a newer single file": (
        lambda folder: (save_shards(folder, 1), save_single(folder)),
        f"holds {SINGLE} and {INDEX}",
    ),
    "an index whose shards are gone beside a single file": (
        lambda folder: (
            save_index(folder, {"a": "model-00001-of-00002.safetensors"}),
            save_single(folder),
        ),
        f"holds {SINGLE} and {INDEX}",
    ),
    "an index of nothing beside a single file": (
        lambda folder: (save_index(folder, {}), save_single(folder)),
        f"holds {SINGLE} and {INDEX}",
    ),
    "an index of a single file and another": (
        lambda folder: (
            save_single(folder),
            save_index(folder, {**dict.fromkeys(weights(), SINGLE), "a": "z.safetensors"}),
        ),
        f"holds {SINGLE} and {INDEX}",
    ),
    "shards without an index": (
        lambda folder: save_shards(folder, with_index=False),
        rf"has neither {SINGLE} nor {INDEX}, only model-00001-of-00002\.safetensors, model-0",
    ),
    "only a consolidated file": (
        lambda folder: save_single(folder, 0, "consolidated.safetensors"),
        r"has neither .*, only consolidated\.safetensors",
    ),
    "a shard that is gone": (
        lambda folder: (
            save_shards(folder),
            (folder / "model-00001-of-00002.safetensors").unlink(),
        ),
        r"model-00001-of-00002\.safetensors: is missing",
    ),
    "a shard of another sharding under the same name": (
        lambda folder: (
            save_shards(folder),
            save_file(weights(), folder / "model-00001-of-00002.safetensors", METADATA),
        ),
        r"model-00001-of-00002\.safetensors: holds .*, which the index does not put there",
    ),
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[[Callable[[Path], object]], Path]:
    """A folder of one step, saved by `save`, with the toy's config."""

    def make(save: Callable[[Path], object]) -> Path:
        folder = tmp_path / "run/checkpoint-1"
        folder.mkdir(parents=True)
        (folder / "config.json").write_bytes((TOY_BASE / "config.json").read_bytes())
        save(folder)
        return folder

    return make


def stored(s3, run: Path) -> str:
    for path in run.rglob("*.*"):
        s3.store("run").put_file(path.relative_to(run).as_posix(), path)
    return f"{s3.uri}/run"


@pytest.mark.parametrize("save", READ_ALIKE.values(), ids=READ_ALIKE)
def test_all_readers_take_the_weights_that_are_meant(checkpoint, s3, tmp_path, save) -> None:
    folder = checkpoint(save)
    by_transformers = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    from_folder = Checkpoint(folder)
    from_s3 = open_source(stored(s3, folder.parent), s3.connection, tmp_path).open(1)
    assert from_folder.tensors.keys() == from_s3.tensors.keys() == weights().keys()
    for name, expected in weights().items():
        assert torch.equal(by_transformers[name], expected)
        assert torch.equal(from_folder.read_tensor(name), expected)
        assert torch.equal(from_s3.read(name), expected.view(-1))


@pytest.mark.parametrize(("save", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_told_is_refused_by_name_everywhere(
    checkpoint, s3, tmp_path, save, message
) -> None:
    folder = checkpoint(save)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CheckpointError, match=message):
        Checkpoint(folder)
    with pytest.raises(CheckpointError, match=message):
        open_window(str(folder.parent))
    out = open_store(str(tmp_path / "window"))
    for where in (str(folder.parent), stored(s3, folder.parent)):
        with pytest.raises(RelexError, match=message):
            pack(open_source(where, s3.connection, tmp_path), Checkpoint(TOY_BASE), out)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_fixture_of_the_kind_is_what_save_pretrained_leaves(tmp_path) -> None:
    """Each save into the folder of the other kind leaves a file that one reader still takes."""
    model = AutoModelForCausalLM.from_pretrained(TOY_BASE)
    for name, sizes in {"shrunk": ("1MB", "1GB"), "grown": ("1GB", "1MB")}.items():
        for size in sizes:
            model.save_pretrained(tmp_path / name, max_shard_size=size)
        with pytest.raises(CheckpointError, match="left over from an earlier save"):
            Checkpoint(tmp_path / name)


VERL = {
    "merged inside": ({"actor/huggingface/config.json", f"actor/huggingface/{SINGLE}"}, None),
    "merged beside": ({"actor/huggingface/config.json", SINGLE}, None),
    "shards merged beside": (
        {"actor/huggingface/config.json", "actor/model_world_size_1_rank_0.pt", SINGLE},
        None,
    ),
    "shards merged inside": (
        {"actor/model_world_size_1_rank_0.pt", f"actor/huggingface/{SINGLE}"},
        None,
    ),
    "fsdp shards": (
        {f"actor/model_world_size_2_rank_{rank}.pt" for rank in range(2)}
        | {"actor/huggingface/config.json", "actor/optim_world_size_2_rank_0.pt"},
        r"global_step_1: its weights are pickled \(actor, shards\).*--allow-pickle",
    ),
    "nothing": ({"actor/huggingface/config.json"}, "actor/huggingface: has no weights"),
}


@pytest.mark.parametrize(("names", "message"), VERL.values(), ids=VERL)
def test_a_checkpoint_of_verl_is_found_or_its_way_out_is_said(s3, tmp_path, names, message) -> None:
    run = tmp_path / "run"
    for name in names:
        path = run / "global_step_1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(SINGLE):
            save_single(path.parent)
        else:
            path.write_bytes(b"{}")
    where = stored(s3, run)
    if message is not None:
        for open_it in (
            lambda: open_window(str(run)),
            lambda: open_source(str(run), None, tmp_path).open(1),
            lambda: open_source(where, s3.connection, tmp_path),
        ):
            with pytest.raises((WindowError, CheckpointError), match=message):
                open_it()
        return
    for window in (
        Checkpoint(run / "global_step_1" / ("" if SINGLE in names else "actor/huggingface")),
        open_source(str(run), None, tmp_path).open(1),
        open_source(where, s3.connection, tmp_path).open(1),
    ):
        for name, expected in weights().items():
            assert torch.equal(window.read(name), expected.view(-1))

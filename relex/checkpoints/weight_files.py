"""Which files of a checkpoint hold its weights: one rule for a folder and for S3.

It is that of transformers: `model.safetensors`, else the shards of its index; consolidated files,
and shards that the index does not name, are not weights. Where both are there, transformers takes
the single file and vLLM the shards, and `save_pretrained` into a folder that held the one kind
leaves it beside the other: which of them is old nobody can tell, so that is refused.
"""

import json
import re
from collections.abc import Collection
from pathlib import PurePosixPath

from relex.checkpoints.tensor_file import TensorFile
from relex.errors import CheckpointError
from relex.storage import Readable

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
SUFFIX = ".safetensors"
PICKLED = re.compile(r".*\.(bin|pt|pth)")


def open_weight_files(store: Readable, names: Collection[str]) -> dict[str, TensorFile]:
    """The files with the weights by name, ascending, their headers read; `names` are all files.

    Raises CheckpointError when there are none (pickled weights are refused), it cannot be told
    which files are meant, one is missing or damaged, the index and the files disagree, or they hold
    no tensors.
    """
    shard_of = _weight_map(store) if INDEX_FILE in names else None
    shards = {SINGLE_FILE} & set(names) if shard_of is None else set(shard_of.values())
    if SINGLE_FILE in names and shards != {SINGLE_FILE}:
        raise CheckpointError(
            f"{store.uri}: holds {SINGLE_FILE} and {INDEX_FILE}, which names other files "
            f"({', '.join(sorted(shards)[:1])} ...): one is left over from an earlier save, and "
            "programs differ in which they read; remove the one that is not meant"
        )
    if not shards:
        raise CheckpointError(f"{store.uri}: {no_weights(names)}")
    files = {name: TensorFile(store, name) for name in sorted(shards)}
    if shard_of is not None:
        _check_index(store.uri, shard_of, files)
    if not any(file.tensors for file in files.values()):
        raise CheckpointError(f"{store.uri}: holds no tensors; copy the checkpoint again")
    return files


def no_weights(names: Collection[str]) -> str:
    """What is wrong with a checkpoint of these files, and what to do."""
    pickled = sorted(filter(PICKLED.fullmatch, names))
    others = sorted(name for name in names if name.endswith(SUFFIX))
    found = "has no weights"
    if pickled:
        found = f"has only pickled weights ({pickled[0]})"
    if others:
        found = f"has neither {SINGLE_FILE} nor {INDEX_FILE}, only {', '.join(others)}"
    return (
        f"{found}; relex reads safetensors only, so save it with "
        "save_pretrained(..., safe_serialization=True)"
    )


def _weight_map(store: Readable) -> dict[str, str]:
    """File of every tensor, as the index says."""
    where = f"{store.uri}/{INDEX_FILE}"
    try:
        text = store.read(INDEX_FILE, 0, store.size(INDEX_FILE) or 0)
        weight_map = dict(json.loads(text)["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{where}: is not a safetensors index ({error!r})") from error
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or PurePosixPath(shard).name != shard:
            raise CheckpointError(
                f"{where}: puts {name} into {shard!r}, which is not a file of its folder"
            )
    return weight_map


def _check_index(where: str, shard_of: dict[str, str], files: dict[str, TensorFile]) -> None:
    """The files hold exactly what the index says; so no tensor is in two of them."""
    for name, shard in shard_of.items():
        if name not in files[shard].tensors:
            raise CheckpointError(f"{where}/{shard}: lacks {name}, which the index puts there")
    for shard, file in files.items():
        for name in file.tensors:
            if shard_of.get(name) != shard:
                raise CheckpointError(
                    f"{where}/{shard}: holds {name}, which the index does not put there"
                )

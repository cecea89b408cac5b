"""One step of a window as a Hugging Face checkpoint."""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from relex.atomic import new_folder
from relex.checkpoints import Checkpoint, NamedTensor, write_tensor_file
from relex.checkpoints.reader import INDEX_FILE
from relex.checkpoints.writer import HF_METADATA, copy_companions
from relex.errors import WindowError
from relex.window.window import Window

CONFIG_FILE = "config.json"


def unpack(window: Window, step: int, base: Checkpoint, out: Path) -> None:
    """Write the snapshot at `step` to `out`: its bits, in the files and with the config of `base`.

    The dtype is the window's, which may differ from the base's; the config then says so. The window
    must have the tensors of `base`. One tensor is held at a time; `out` appears when it is whole.

    Raises WindowError when there is no such step, InputError when `out` exists.
    """
    if step not in window.steps:
        raise WindowError(
            f"{window.where}: has no step {step}; it holds {len(window.steps)} steps from "
            f"{window.steps[0]} to {window.steps[-1]}"
        )
    with new_folder(out) as partial:
        for shard, file in base.shards.items():
            schema = {name: window.tensors[name] for name in file.tensors}
            tensors = _tensors(window, step, file.tensors)
            write_tensor_file(partial / shard, schema, tensors, HF_METADATA)
        copy_companions(base.folder, partial)
        if (base.folder / INDEX_FILE).is_file():
            shutil.copyfile(base.folder / INDEX_FILE, partial / INDEX_FILE)
        _say_dtype(partial / CONFIG_FILE, window)


def _tensors(window: Window, step: int, names: Iterable[str]) -> Iterator[NamedTensor]:
    for name in names:
        yield name, window.read(step, name).reshape(window.tensors[name].shape)


def _say_dtype(path: Path, window: Window) -> None:
    """transformers casts what it loads to the dtype in the config."""
    dtypes = {info.dtype for info in window.tensors.values() if info.dtype.is_floating_point}
    if len(dtypes) != 1 or not path.is_file():
        return
    config = json.loads(path.read_text())
    config.pop("torch_dtype", None)
    config["dtype"] = str(dtypes.pop()).removeprefix("torch.")
    path.write_text(json.dumps(config, indent=2) + "\n")

"""One step of a window as a Hugging Face checkpoint."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from relex.checkpoints import Checkpoint, TensorFileWriter
from relex.checkpoints.weight_files import INDEX_FILE
from relex.checkpoints.writer import HF_METADATA, copy_companions
from relex.errors import WindowError
from relex.storage.atomic import new_folder
from relex.window.codec import block_spans
from relex.window.window import Window

CONFIG_FILE = "config.json"
PIECE_ELEMENTS = 1 << 22

OnProgress = Callable[[int, int], None]


def unpack(
    window: Window,
    step: int,
    base: Checkpoint,
    out: Path,
    on_progress: OnProgress = lambda num_done, num_total: None,
) -> None:
    """Write the snapshot at `step` to `out`: its bits, in the files and with the config of `base`.

    The dtype is the window's, which may differ from the base's; the config then says so. The window
    must have the tensors of `base`. A piece of a tensor is held at a time; `out` appears when it is
    whole. `on_progress` receives the bytes written and the bytes in all.

    Raises WindowError when there is no such step, InputError when `out` exists.
    """
    if step not in window.steps:
        raise WindowError(
            f"{window.where}: has no step {step}; it holds {len(window.steps)} steps from "
            f"{window.steps[0]} to {window.steps[-1]}"
        )
    num_total = sum(window.tensors[name].num_bytes for name in base.tensors)
    num_done = 0

    def advance(num_bytes: int) -> None:
        nonlocal num_done
        num_done += num_bytes
        on_progress(num_done, num_total)

    with new_folder(out) as partial:
        for shard, file in base.shards.items():
            _write_shard(partial / shard, window, step, list(file.tensors), advance)
        copy_companions(base.folder, partial)
        if (base.folder / INDEX_FILE).is_file():
            shutil.copyfile(base.folder / INDEX_FILE, partial / INDEX_FILE)
        _say_dtype(partial / CONFIG_FILE, window)


def _write_shard(
    path: Path, window: Window, step: int, names: list[str], advance: Callable[[int], None]
) -> None:
    schema = {name: window.tensors[name] for name in names}
    with TensorFileWriter(path, schema, HF_METADATA) as writer:
        for name, info in schema.items():
            for span in block_spans(info.num_elements, PIECE_ELEMENTS):
                piece_N = window.read(step, name, *span)
                writer.append(name, piece_N)
                advance(piece_N.nbytes)


def _say_dtype(path: Path, window: Window) -> None:
    """transformers casts what it loads to the dtype in the config."""
    dtypes = {info.dtype for info in window.tensors.values() if info.dtype.is_floating_point}
    if len(dtypes) != 1 or not path.is_file():
        return
    config = json.loads(path.read_text())
    config.pop("torch_dtype", None)
    config["dtype"] = str(dtypes.pop()).removeprefix("torch.")
    path.write_text(json.dumps(config, indent=2) + "\n")

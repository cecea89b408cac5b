"""Opens adapters: a folder of them as PEFT saves them, or the window of a run that trained them."""

from functools import partial
from pathlib import Path

from relex.checkpoints import Checkpoint, TensorFile
from relex.digests import sha256_file
from relex.errors import WindowError
from relex.storage import Store
from relex.storage.block_cache import BlockCache
from relex.storage.folder import FolderStore
from relex.window.adapter_config import CONFIG_FILE
from relex.window.adapter_window import AdapterFile, AdapterWindow
from relex.window.checkpoint_folder import step_folders
from relex.window.layout import StepFile, WindowManifest
from relex.window.trainers import KNOWN_NAMES, Place, StepNames, names_in, weight_place

ADAPTER_FILE = "adapter_model.safetensors"
CONFIG_METADATA = "adapter_config"
"""Where a step's file in a window has the content of its CONFIG_FILE."""


def is_adapter_folder(folder: Path, names: StepNames = KNOWN_NAMES) -> bool:
    """Whether the checkpoints in a folder are adapters; raises WindowError as `step_folders`, and
    as `weight_place`."""
    return any(_place(path).form == "adapter" for path in step_folders(folder, names).values())


def open_adapter_folder(folder: Path, base: Checkpoint) -> AdapterWindow:
    """Sub-folders named for steps, with adapters as PEFT saves them.

    Raises WindowError when a step has no adapter, and as AdapterWindow; CheckpointError when a file
    is damaged.
    """
    folders = {step: path / _place(path).folder for step, path in step_folders(folder).items()}
    return AdapterWindow(str(folder), {step: _open(path) for step, path in folders.items()}, base)


def open_stored_adapters(store: Store, manifest: WindowManifest, base: Checkpoint) -> AdapterWindow:
    """The adapters of a window that relex wrote; raises as `open_adapter_folder`."""
    reader = BlockCache(store) if store.uri.startswith("s3://") else store

    def opened(step: StepFile) -> AdapterFile:
        file, digest = TensorFile(reader, step.key), manifest.files[step.key].sha256
        return AdapterFile(file, file.metadata.get(CONFIG_METADATA, ""), file.where, lambda: digest)

    files = {step.step: opened(step) for step in manifest.facts.steps}
    return AdapterWindow(store.uri, files, base, manifest.base_digest)


def _place(step: Path) -> Place:
    return weight_place(str(step), names_in(step))


def _open(folder: Path) -> AdapterFile:
    config, weights = folder / CONFIG_FILE, folder / ADAPTER_FILE
    if not weights.is_file():
        raise WindowError(
            f"{folder}: has no {ADAPTER_FILE}; relex reads safetensors only, so save it with "
            "save_pretrained(..., safe_serialization=True)"
        )
    try:
        text = config.read_text()
    except (OSError, ValueError) as error:
        raise WindowError(f"{config}: is no config of a LoRA adapter ({error})") from error
    file = TensorFile(FolderStore(folder), ADAPTER_FILE)
    return AdapterFile(file, text, str(config), partial(sha256_file, weights))

"""Where the snapshots of other people's runs come from: a folder, S3, or the Hub."""

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

import torch

from relex.checkpoints import Checkpoint, TensorInfo
from relex.checkpoints.weight_files import SUFFIX, no_weights, open_weight_files
from relex.errors import WindowError
from relex.storage import S3Connection, Store, open_store
from relex.storage.block_cache import BlockCache
from relex.window.adapter_folder import is_adapter_folder
from relex.window.checkpoint_folder import (
    STEP_NAME,
    checkpoint_folder,
    checkpoint_place,
    step_folders,
)
from relex.window.codec import Snapshot

HUB_FILES = ["*.safetensors", "*.safetensors.index.json"]
Result = TypeVar("Result")


class Source(Protocol):
    """Snapshots by step, opened one after the other.

    A Protocol because there are three kinds: checkpoints in a folder, on S3, and on the Hub.
    """

    where: str
    steps: tuple[int, ...]

    def open(self, step: int) -> Snapshot:
        """The checkpoint of one step; raises CheckpointError or WindowError when it is unusable."""

    def release(self, step: int) -> None:
        """Give back what `open` took; the step will not be read again."""


def open_source(where: str, connection: S3Connection | None, work: Path) -> Source:
    """The source at a local folder, an `s3://` prefix, or a repository on the Hub.

    `work` is where steps from the Hub lie while they are read. Raises WindowError when there are no
    steps, StorageError when S3 cannot be read.
    """
    if where.startswith("s3://"):
        return StoreSource(open_store(where, connection))
    if Path(where).is_dir():
        return FolderSource(Path(where))
    return HubSource(where, work)


class FolderSource:
    """Sub-folders named `checkpoint-N`, `global_step_N` or `step_N`."""

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._folders = dict(sorted(step_folders(folder).items()))
        if is_adapter_folder(folder):
            raise WindowError(
                f"{folder}: holds LoRA adapters, which are small as they are; fit the folder itself"
            )
        self.steps = tuple(self._folders)

    def open(self, step: int) -> Snapshot:
        return Checkpoint(self._folders[step])

    def release(self, step: int) -> None:
        pass


class StoreSource:
    """The same names below a prefix of a store; weights are read where they are, in parts."""

    def __init__(self, store: Store) -> None:
        self.where = store.uri
        self._checkpoint_of = dict(sorted(_checkpoints_by_step(store).items()))
        self.steps = tuple(self._checkpoint_of)

    def open(self, step: int) -> Snapshot:
        return _StoredCheckpoint(*self._checkpoint_of[step])

    def release(self, step: int) -> None:
        pass


class HubSource:
    """A repository whose branches are named `step_N` or the like."""

    def __init__(self, repository: str, work: Path) -> None:
        from huggingface_hub import HfApi  # takes long, and only the Hub needs it

        self.where, self._work = repository, work
        refs = _on_hub(repository, partial(HfApi().list_repo_refs, repository))
        names = [branch.name for branch in refs.branches]
        self._branch_of = dict(sorted(_by_step(repository, names).items()))
        self.steps = tuple(self._branch_of)

    def open(self, step: int) -> Snapshot:
        from huggingface_hub import snapshot_download

        branch = self._branch_of[step]
        download = partial(
            snapshot_download,
            self.where,
            revision=branch,
            allow_patterns=HUB_FILES,
            local_dir=self._folder(step),
        )
        return Checkpoint(checkpoint_folder(Path(_on_hub(f"{self.where} at {branch}", download))))

    def release(self, step: int) -> None:
        shutil.rmtree(self._folder(step), ignore_errors=True)

    def _folder(self, step: int) -> Path:
        return self._work / f"step_{step}"


class _StoredCheckpoint:
    """The safetensors files of one checkpoint in a store, as one snapshot."""

    def __init__(self, store: Store, names: list[str]) -> None:
        """Raises CheckpointError as `open_weight_files`."""
        files = open_weight_files(BlockCache(store), names)
        self._file_of = {name: file for file in files.values() for name in file.tensors}

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        return {name: file.tensors[name] for name, file in self._file_of.items()}

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        return self._file_of[name].read(name, start, stop)


def _checkpoints_by_step(store: Store) -> dict[int, tuple[Store, list[str]]]:
    """Where the checkpoint of every step is, and its files."""
    keys = [PurePosixPath(key) for key in store.list()]
    folder_of = _by_step(store.uri, sorted({key.parts[0] for key in keys if len(key.parts) > 1}))
    found = {}
    for step, name in folder_of.items():
        inside = [key.relative_to(name) for key in keys if key.parts[0] == name]
        place = checkpoint_place(f"{store.uri}/{name}", [str(key) for key in inside])
        files = [key.name for key in inside if key.parent == PurePosixPath(place)]
        checkpoint = store.child(f"{name}/{place}".rstrip("/"))
        if not any(file.endswith(SUFFIX) for file in files):
            raise WindowError(f"{checkpoint.uri}: {no_weights(files)}")
        found[step] = checkpoint, files
    return found


def _by_step(where: str, names: list[str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for name in names:
        match = STEP_NAME.fullmatch(name)
        if match is None or int(match[1]) == 0:  # step 0 is the base
            continue
        step = int(match[1])
        if step in found:
            raise WindowError(f"{where}: holds step {step} twice: {found[step]}, {name}")
        found[step] = name
    if not found:
        raise WindowError(f"{where}: nothing there is named checkpoint-N, global_step_N or step_N")
    return found


def _on_hub(where: str, request: Callable[[], Result]) -> Result:
    import httpx
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return request()
    except (httpx.HTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise WindowError(
            f"{where}: neither a folder nor a readable repository on the Hub ({reason})"
        ) from error

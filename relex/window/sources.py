"""Where the snapshots of other people's runs come from: a folder, S3, or the Hub."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

import torch

from relex.checkpoints import TensorInfo
from relex.checkpoints.weight_files import SUFFIX, no_weights, open_weight_files
from relex.errors import WindowError
from relex.storage import S3Connection, Store, open_store
from relex.storage.block_cache import BlockCache
from relex.window.adapter_folder import is_adapter_folder
from relex.window.checkpoint_folder import step_folders
from relex.window.codec import Snapshot
from relex.window.trainers import CheckpointOpener, Place, StepNames, weight_place

HUB_FILES = ["*.safetensors", "*.safetensors.index.json"]
PICKLED_FILES = ["*.pt", "*.distcp", "*.metadata"]
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


def open_source(
    where: str,
    connection: S3Connection | None,
    work: Path,
    *,
    step_pattern: str = "",
    allow_pickle: bool = False,
) -> Source:
    """The source at a local folder, an `s3://` prefix, or a repository on the Hub.

    `work` is where steps lie that cannot be read where they are; `step_pattern` as in StepNames;
    `allow_pickle` as in CheckpointOpener. Raises WindowError when there are no steps, StorageError
    when S3 cannot be read.
    """
    opener = CheckpointOpener(StepNames(step_pattern), work, allow_pickle)
    if where.startswith("s3://"):
        return StoreSource(open_store(where, connection), opener)
    if Path(where).is_dir():
        return FolderSource(Path(where), opener)
    return HubSource(where, opener)


class FolderSource:
    """Sub-folders named for steps."""

    def __init__(self, folder: Path, opener: CheckpointOpener) -> None:
        self.where, self._opener = str(folder), opener
        self._folders = step_folders(folder, opener.names)
        if is_adapter_folder(folder, opener.names):
            raise WindowError(
                f"{folder}: holds LoRA adapters, which are small as they are; fit the folder itself"
            )
        self.steps = tuple(self._folders)

    def open(self, step: int) -> Snapshot:
        return self._opener.open(self._folders[step], step)

    def release(self, step: int) -> None:
        self._opener.release(step)


class StoreSource:
    """The same names below a prefix of a store; weights are read where they are, in parts, but for
    pickled ones, which are copied."""

    def __init__(self, store: Store, opener: CheckpointOpener) -> None:
        self.where, self._opener = store.uri, opener
        self._checkpoint_of = _checkpoints_by_step(store, opener)
        self.steps = tuple(self._checkpoint_of)

    def open(self, step: int) -> Snapshot:
        store, place, names = self._checkpoint_of[step]
        if not place.is_pickled:
            return _StoredCheckpoint(store.child(place.folder) if place.folder else store, names)
        copied = self._opener.folder(step) / "copied"
        for name in filter(place.is_needed, names):
            store.get_file(name, copied / name)
        return self._opener.open(copied, step)

    def release(self, step: int) -> None:
        self._opener.release(step)


class HubSource:
    """A repository whose branches are named for steps."""

    def __init__(self, repository: str, opener: CheckpointOpener) -> None:
        from huggingface_hub import HfApi  # takes long, and only the Hub needs it

        self.where, self._opener = repository, opener
        refs = _on_hub(repository, partial(HfApi().list_repo_refs, repository))
        self._branch_of = opener.names.steps(repository, [branch.name for branch in refs.branches])
        self.steps = tuple(self._branch_of)

    def open(self, step: int) -> Snapshot:
        from huggingface_hub import snapshot_download

        branch = self._branch_of[step]
        download = partial(
            snapshot_download,
            self.where,
            revision=branch,
            allow_patterns=[*HUB_FILES, *(PICKLED_FILES if self._opener.allow_pickle else [])],
            local_dir=self._opener.folder(step),
        )
        return self._opener.open(Path(_on_hub(f"{self.where} at {branch}", download)), step)

    def release(self, step: int) -> None:
        self._opener.release(step)


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


def _checkpoints_by_step(
    store: Store, opener: CheckpointOpener
) -> dict[int, tuple[Store, Place, list[str]]]:
    """Of every step its folder, where the weights are in it, and the files: their names where they
    are for weights that are read there, else in the folder."""
    keys = [PurePosixPath(key) for key in store.list()]
    names = sorted({key.parts[0] for key in keys if len(key.parts) > 1})
    found = {}
    for step, name in opener.names.steps(store.uri, names).items():
        step_store = store.child(name)
        inside = [key.relative_to(name) for key in keys if key.parts[0] == name]
        place = weight_place(step_store.uri, [str(key) for key in inside])
        opener.check(step_store.uri, place)
        files = [str(key) for key in inside]
        if not place.is_pickled:
            files = [key.name for key in inside if key.parent == PurePosixPath(place.folder)]
            if not any(file.endswith(SUFFIX) for file in files):
                where = f"{step_store.uri}/{place.folder}".rstrip("/")
                raise WindowError(f"{where}: {no_weights(files)}")
        found[step] = step_store, place, files
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

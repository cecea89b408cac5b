"""The weights in a checkpoint of `torch.distributed.checkpoint`: `.metadata` and `*.distcp`.

NeMo-RL, prime-rl and accelerate write them. torch reads the tensors with `weights_only=True`, but
the metadata with a plain `pickle.load`; so that is done here, by a reader that makes nothing but
what metadata are made of.
"""

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import FileSystemReader, load
from torch.distributed.checkpoint.api import CheckpointException  # no Exception by its class
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from relex.checkpoints import TensorInfo
from relex.errors import WindowError
from relex.window.trainers.places import METADATA_FILE

NOT_WEIGHTS = re.compile(r"(?:app\.)?(?!model\.)(?:\w*optim\w*|\w*scheduler|progress|rng\w*)\..*")
"""Names of what a trainer keeps beside its model."""

PARTS = "torch.distributed.checkpoint.metadata"
ALLOWED = {
    *(
        (PARTS, name)
        for name in (
            "Metadata",
            "TensorStorageMetadata",
            "BytesStorageMetadata",
            "ChunkStorageMetadata",
            "TensorProperties",
            "MetadataIndex",
            "StorageMeta",
            "_MEM_FORMAT_ENCODING",
        )
    ),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("collections", "OrderedDict"),
    *(("pathlib", name) for name in ("PosixPath", "PurePosixPath")),
    *(
        ("torch", str(it).removeprefix("torch."))
        for it in vars(torch).values()
        if isinstance(it, torch.dtype)
    ),
}


class DistributedCheckpoint(Mapping[str, torch.Tensor]):
    """The tensors of a model by name; each is read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        """Raises WindowError when the metadata are missing, damaged, or make more than metadata."""
        self._reader = _Reader(folder)
        self.schema = {
            name: TensorInfo(tuple(found.size), found.properties.dtype)
            for name, found in self._reader.metadata.state_dict_metadata.items()
            if isinstance(found, TensorStorageMetadata) and not NOT_WEIGHTS.fullmatch(name)
        }

    def __getitem__(self, name: str) -> torch.Tensor:
        info = self.schema[name]
        tensor = torch.empty(info.shape, dtype=info.dtype)
        try:
            with warnings.catch_warnings(action="ignore"):  # that it reads in a single process
                load({name: tensor}, storage_reader=self._reader, no_dist=True)
        except (CheckpointException, Exception) as error:
            failures = getattr(error, "failures", {0: (error, None)})
            reason = " ".join(str(next(iter(failures.values()))[0]).split())[:200]
            raise WindowError(f"{self._reader.path}: {name} cannot be read ({reason})") from error
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.schema)

    def __len__(self) -> int:
        return len(self.schema)


class _Reader(FileSystemReader):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.metadata = _metadata(folder / METADATA_FILE)

    def read_metadata(self, *_: Any, **__: Any) -> Metadata:
        return self.metadata


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _metadata(path: Path) -> Metadata:
    try:
        with path.open("rb") as file:
            metadata = _Unpickler(file).load()
    except Exception as error:
        raise WindowError(f"{path}: is no metadata of a checkpoint ({error})") from error
    if not isinstance(metadata, Metadata) or metadata.storage_data is None:
        raise WindowError(f"{path}: holds a {type(metadata).__name__}, not metadata")
    metadata.storage_meta = metadata.storage_meta or StorageMeta()
    return metadata

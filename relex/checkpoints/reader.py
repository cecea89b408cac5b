"""A Hugging Face checkpoint, opened lazily."""

import hashlib
from collections import Counter
from pathlib import Path

import torch

from relex.checkpoints.raw_bytes import raw_bytes
from relex.checkpoints.tensor_file import DTYPE_NAMES, TensorFile, TensorInfo
from relex.checkpoints.weight_files import open_weight_files
from relex.digests import sha256_json
from relex.errors import CheckpointError
from relex.storage.folder import FolderStore

DIGEST_ELEMENTS = 1 << 20


class Checkpoint:
    """The tensors of a checkpoint folder, single-file or sharded, read one at a time."""

    def __init__(self, folder: Path) -> None:
        """Read the headers.

        Raises CheckpointError when the folder is missing, and as `open_weight_files`.
        """
        self.folder = folder
        self.shards = _open_folder(folder)
        self._shard_of = {name: file for file in self.shards.values() for name in file.tensors}
        self._digest: str | None = None

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        """Name to shape and dtype, in the order of the shards."""
        return {name: file.tensors[name] for name, file in self._shard_of.items()}

    @property
    def dtype(self) -> torch.dtype:
        """That of most elements."""
        num_elements: Counter[torch.dtype] = Counter()
        for info in self.tensors.values():
            num_elements[info.dtype] += info.num_elements
        return num_elements.most_common(1)[0][0]

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Elements [start, stop) of the flattened tensor `name`."""
        return self._shard(name).read(name, start, stop)

    def read_into(self, name: str, start: int, out: torch.Tensor) -> None:
        """Fill `out`, flat and of the tensor's dtype, with its elements from `start` on."""
        self._shard(name).read_into(name, start, out)

    def _shard(self, name: str) -> TensorFile:
        if name not in self._shard_of:
            raise CheckpointError(f"{self.folder}: has no tensor {name}")
        return self._shard_of[name]

    def read_tensor(self, name: str) -> torch.Tensor:
        return self.read(name).reshape(self.tensors[name].shape)

    def digest(self) -> str:
        """sha256 over names, dtypes, shapes and bytes of all tensors, however they are sharded.

        Reads every byte on the first call and remembers the answer.
        """
        if self._digest is None:
            self._digest = sha256_json(
                {name: self._tensor_digest(name, info) for name, info in self.tensors.items()}
            )
        return self._digest

    def _tensor_digest(self, name: str, info: TensorInfo) -> list[str]:
        digest = hashlib.sha256()
        for start in range(0, info.num_elements, DIGEST_ELEMENTS):
            piece = self.read(name, start, min(start + DIGEST_ELEMENTS, info.num_elements))
            digest.update(raw_bytes(piece).numpy().data)
        return [DTYPE_NAMES[info.dtype], str(list(info.shape)), digest.hexdigest()]


def _open_folder(folder: Path) -> dict[str, TensorFile]:
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: is not a folder; give a Hugging Face checkpoint")
    names = {path.name for path in folder.iterdir() if path.is_file()}
    return open_weight_files(FolderStore(folder), names)

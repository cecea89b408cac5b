"""A window that relex wrote, read from its folder or from S3."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from relex.checkpoints import TensorFile
from relex.digests import sha256_json
from relex.errors import WindowError
from relex.storage import Readable, Store
from relex.storage.block_cache import BlockCache
from relex.window.layout import WindowManifest, step_key
from relex.window.same_tensors import same_tensors

PARALLEL_OPENS = 8


class StoredWindow:
    """The safe steps of a window; a run that is still writing adds none to an open one."""

    def __init__(self, store: Store, manifest: WindowManifest) -> None:
        """Check the size and read the header of every step's file.

        Raises WindowError when a file is missing, truncated or differs in its tensors.
        """
        self.where = store.uri
        self.manifest = manifest
        self.steps = manifest.facts.steps
        self.base_digest: str | None = manifest.base_digest
        self.store = store
        self._reader: Readable = BlockCache(store) if store.uri.startswith("s3://") else store
        with ThreadPoolExecutor(PARALLEL_OPENS) as pool:
            self._file_of = dict(zip(self.steps, pool.map(self._open, self.steps), strict=True))
        self.tensors = same_tensors(
            self.where, {step: file.tensors for step, file in self._file_of.items()}
        )

    def read(self, step: int, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        return self._file(step, name).read(name, start, stop)

    def read_rows(self, steps: Sequence[int], name: str, start: int, out_SN: torch.Tensor) -> None:
        for step, out_N in zip(steps, out_SN, strict=True):
            self._file(step, name).read_into(name, start, out_N)

    def digest(
        self, steps: Sequence[int] | None = None, names: Collection[str] | None = None
    ) -> str:
        files = {key: entry.sha256 for key, entry in self.manifest.files.items()}
        return sha256_json({"base": self.base_digest, "files": files})

    def _file(self, step: int, name: str) -> TensorFile:
        if step not in self._file_of:
            raise WindowError(f"{self.where}: has no step {step}")
        if name not in self.tensors:
            raise WindowError(f"{self.where}: has no tensor {name}")
        return self._file_of[step]

    def _open(self, step: int) -> TensorFile:
        key = step_key(step)
        found, expected = self._reader.size(key), self.manifest.files[key].size_bytes
        if found != expected:
            size = "is missing" if found is None else f"has {found} bytes"
            raise WindowError(
                f"{self.where}/{key}: {size}, its manifest says {expected}; "
                f"step {step} is damaged, so copy or train it again"
            )
        return TensorFile(self._reader, key)

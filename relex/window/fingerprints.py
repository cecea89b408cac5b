"""The identity of checkpoints that nobody has recorded a digest of, taken while they are read.

A plain folder of checkpoints has no manifest, and reading all of it a second time for a digest
would double the work of a fit. So every leaf of 2^18 elements is hashed with XXH3 (128 bits, 20
times as fast as sha256) when it is in memory anyway, and the digest is a sha256 over the leaves.
It tells one trajectory from another; unlike sha256 it does not withstand someone who wants two
folders to look alike, which a folder without a manifest cannot promise either.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from threading import Lock

import torch
import xxhash

from relex.checkpoints import TensorInfo
from relex.checkpoints.raw_bytes import raw_bytes
from relex.checkpoints.tensor_file import DTYPE_NAMES
from relex.digests import sha256_bytes, sha256_json
from relex.window.codec import Snapshot

LEAF_ELEMENTS = 1 << 18

Read = Callable[[int, str, int, int], torch.Tensor]
"""Elements [start, stop) of a tensor at a step."""


class Fingerprints:
    """Leaves hashed so far; several threads may add."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self._tensors = tensors
        self._leaves: dict[tuple[int, str], dict[int, bytes]] = {}
        self._whole: dict[tuple[int, str], str] = {}
        self._lock = Lock()

    def add(self, step: int, name: str, start: int, elements_N: torch.Tensor) -> None:
        """Hash elements that begin at `start` if they are whole leaves."""
        stop = start + len(elements_N)
        if (step, name) in self._whole:
            return
        if start % LEAF_ELEMENTS or (stop % LEAF_ELEMENTS and stop != self._num_elements(name)):
            return
        for first in range(0, max(len(elements_N), 1), LEAF_ELEMENTS):
            leaf_N = elements_N[first : first + LEAF_ELEMENTS].cpu()
            digest = xxhash.xxh3_128_digest(raw_bytes(leaf_N).numpy().data)
            self._keep(step, name, start + first, digest)

    def digest(self, read: Read, steps: Sequence[int], names: Collection[str]) -> str:
        """Over names, dtypes, shapes and all leaves; reads those that are missing."""
        return sha256_json({name: self._tensor_digest(name, read, steps) for name in names})

    def _tensor_digest(self, name: str, read: Read, steps: Sequence[int]) -> list[str]:
        for step in steps:
            for start, stop in self._missing(step, name):
                self.add(step, name, start, read(step, name, start, stop))
        info = self._tensors[name]
        whole = [f"{step}:{self._whole[step, name]}" for step in steps]
        return [DTYPE_NAMES[info.dtype], str(list(info.shape)), *whole]

    def _missing(self, step: int, name: str) -> Iterator[tuple[int, int]]:
        if (step, name) in self._whole:
            return
        num_elements, found = self._num_elements(name), self._leaves.get((step, name), {})
        for start in sorted(set(range(0, max(num_elements, 1), LEAF_ELEMENTS)) - found.keys()):
            yield start, min(start + LEAF_ELEMENTS, num_elements)

    def _keep(self, step: int, name: str, start: int, digest: bytes) -> None:
        """A tensor that is whole shrinks to one digest, so that memory follows the tensors."""
        with self._lock:
            if (step, name) in self._whole:
                return
            leaves = self._leaves.setdefault((step, name), {})
            leaves[start] = digest
            if len(leaves) * LEAF_ELEMENTS >= self._num_elements(name):
                self._whole[step, name] = sha256_bytes(b"".join(leaves[k] for k in sorted(leaves)))
                del self._leaves[step, name]

    def _num_elements(self, name: str) -> int:
        return self._tensors[name].num_elements


class FingerprintedSnapshot:
    """The snapshot of a step, hashed while it is read."""

    def __init__(self, snapshot: Snapshot, step: int) -> None:
        self.tensors = dict(snapshot.tensors)
        self._snapshot, self._step = snapshot, step
        self._found = Fingerprints(self.tensors)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        elements_N = self._snapshot.read(name, start, stop)
        self._found.add(self._step, name, start, elements_N)
        return elements_N

    def digest(self) -> str:
        """Of the step and all its tensors; reads those that were not read whole."""
        read = self._snapshot.read
        return self._found.digest(
            lambda _, name, start, stop: read(name, start, stop), (self._step,), self.tensors
        )

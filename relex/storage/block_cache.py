"""Few large reads in place of many small ones.

A fit reads tensor after tensor from all files of a window. On S3 every read is a request of
milliseconds, and most tensors of a model are a few kilobytes, so neighbours are fetched together.
"""

from functools import lru_cache

from relex.storage.store import Readable

BLOCK_BYTES = 1 << 20
NUM_BLOCKS = 256
"""Blocks kept: one for each file of a long window, 256 MiB in all."""


class BlockCache:
    """Reads objects that do not change, small pieces by way of whole blocks; thread-safe."""

    def __init__(self, store: Readable) -> None:
        self.uri = store.uri
        self._store = store
        self._block = lru_cache(NUM_BLOCKS)(self._read_block)

    def size(self, key: str) -> int | None:
        return self._store.size(key)

    def read(self, key: str, start: int, stop: int) -> bytes:
        if start == stop or stop - start >= BLOCK_BYTES:
            return self._store.read(key, start, stop)
        first, last = start // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES
        data = b"".join(self._block(key, index) for index in range(first, last + 1))
        return data[start - first * BLOCK_BYTES : stop - first * BLOCK_BYTES]

    def read_into(self, key: str, start: int, out: memoryview) -> int:
        if len(out) >= BLOCK_BYTES:
            return self._store.read_into(key, start, out)
        data = self.read(key, start, start + len(out))
        out[: len(data)] = data
        return len(data)

    def clear(self) -> None:
        """Forget everything, after something arrived damaged."""
        self._block.cache_clear()

    def _read_block(self, key: str, index: int) -> bytes:
        return self._store.read(key, index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)

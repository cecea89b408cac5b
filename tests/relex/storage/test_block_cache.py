import os

import pytest

from relex.storage import open_store
from relex.storage.block_cache import BLOCK_BYTES, BlockCache


class CountingStore:
    """Counts the reads that reach the store."""

    def __init__(self, store):
        self.uri, self._store, self.num_reads = store.uri, store, 0

    def size(self, key):
        return self._store.size(key)

    def read(self, key, start, stop):
        self.num_reads += 1
        return self._store.read(key, start, stop)


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(2 * BLOCK_BYTES + 1000)


@pytest.fixture
def store(tmp_path, data) -> CountingStore:
    (tmp_path / "key").write_bytes(data)
    return CountingStore(open_store(str(tmp_path)))


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, 10),
        (5, 5),
        (BLOCK_BYTES - 3, BLOCK_BYTES + 3),
        (BLOCK_BYTES, 2 * BLOCK_BYTES),
        (1, 2 * BLOCK_BYTES + 999),
        (2 * BLOCK_BYTES + 990, 2 * BLOCK_BYTES + 1000),
    ],
)
def test_every_range_is_the_one_of_the_store(store, data, start, stop):
    assert BlockCache(store).read("key", start, stop) == data[start:stop]


def test_neighbouring_pieces_cost_one_read(store):
    cache = BlockCache(store)
    for start in range(0, 1000, 10):
        cache.read("key", start, start + 10)
    assert store.num_reads == 1


def test_a_large_piece_is_read_as_it_is(store):
    cache = BlockCache(store)
    cache.read("key", 10, 10 + BLOCK_BYTES)
    assert store.num_reads == 1

"""Tells an object that is damaged from one that only arrived damaged."""

from relex.storage import Store
from relex.storage.manifest import FileEntry, stored_entry

NUM_READS = 3


def find_damage(store: Store, key: str, expected: FileEntry) -> FileEntry | None:
    """Size and digest of an object that is not what it should be, or None.

    An object is read until it is right, at most NUM_READS times. Raises StorageError when it cannot
    be read.
    """
    found = expected
    for _ in range(NUM_READS):
        found = stored_entry(store, key)
        if found == expected:
            return None
    return found

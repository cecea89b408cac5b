"""One process per run: two that work on the same run would write the same window.

On one machine the kernel keeps the claim, as a lock on a file that ends with its process. A run on
S3 can be started from another machine, so there it is also an object that its owner renews. Clocks
of two machines need not agree: whether an owner elsewhere lives is seen by watching its object.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO
from uuid import uuid4

from relex.errors import ClaimError, StorageError
from relex.storage import Store
from relex.storage.atomic import writing

CLAIM_FILE = "claim.json"
RENEWAL_SECONDS = 20.0
DEAD_SECONDS = 3 * RENEWAL_SECONDS
SETTLE_SECONDS = 1.0
"""Two that claim in the same moment both see after it which of them wrote last."""


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Wait until no other process of this machine is in a block with the same lock file.

    Raises StorageError when the file cannot be made.
    """
    with _open_lock(lock) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def claimed_here(lock: Path, run_id: str) -> Iterator[None]:
    """Hold the run on this machine.

    Raises ClaimError when another process does, StorageError when the lock cannot be made.
    """
    with _open_lock(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ClaimError(_busy(run_id, file.read() or "another process")) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} of this machine")
        file.flush()
        yield


@contextmanager
def claimed_in(store: Store, place: str, run_id: str) -> Iterator[None]:
    """Hold the run at `store`; `place` names the machine and folder of this process.

    The caller holds the run at that place already, so that an older claim of the same place is one
    of a process that died. Raises ClaimError when another place works on the run.
    """
    claim = _Claim(store, place)
    owner = claim.living_owner()
    if owner is None:
        claim.renew()
        time.sleep(SETTLE_SECONDS)
        owner = claim.other_owner()
    if owner is not None:
        raise ClaimError(_busy(run_id, owner))
    try:
        with claim.renewed():
            yield
    finally:
        # One that cannot be removed is as good as that of a process that died.
        with suppress(StorageError):
            store.delete(CLAIM_FILE)


def _open_lock(lock: Path) -> TextIO:
    with writing(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        return lock.open("a+")


def this_place(folder: Path) -> str:
    """Names this machine and a folder on it."""
    return f"{socket.gethostname()}:{folder}"


def _busy(run_id: str, owner: str) -> str:
    return (
        f"{run_id}: {owner} works on this run; wait for it or cancel it, "
        "or give the recipe another name or seed"
    )


class _Claim:
    """The object with which a place holds a run."""

    def __init__(self, store: Store, place: str) -> None:
        self._store, self._place, self._token = store, place, uuid4().hex

    def living_owner(self) -> str | None:
        """Another place whose claim is renewed while we watch; at once None when there is none."""
        seen, deadline = self._read(), time.monotonic() + DEAD_SECONDS
        while seen is not None and seen["place"] != self._place and time.monotonic() < deadline:
            time.sleep(SETTLE_SECONDS)
            now = self._read()
            if now is not None and now["token"] != seen["token"]:
                return str(now["place"])
            seen = now
        return None

    def other_owner(self) -> str | None:
        """Whoever wrote over our claim."""
        found = self._read()
        return None if found is None or found["token"] == self._token else str(found["place"])

    def renew(self) -> None:
        self._token = uuid4().hex
        claim = {"place": self._place, "process": os.getpid(), "token": self._token}
        self._store.put(CLAIM_FILE, json.dumps(claim).encode())

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew until the block ends."""
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(RENEWAL_SECONDS):
                # A renewal that fails is made up for by the next one.
                with suppress(StorageError):
                    self.renew()

        thread = threading.Thread(target=keep, name="claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _read(self) -> dict[str, str] | None:
        if self._store.size(CLAIM_FILE) is None:
            return None
        found: dict[str, str] = json.loads(self._store.get(CLAIM_FILE))
        return found

"""Who may work on a run: real processes, and a real S3 server between places."""

import os
import signal
import subprocess
import sys

import pytest

from relex import claim
from relex.claim import CLAIM_FILE, claimed_here, claimed_in, one_at_a_time
from relex.errors import ClaimError

HOLDER = """
import signal, sys
from pathlib import Path
from relex.claim import claimed_here
with claimed_here(Path(sys.argv[1]), "toy-1"):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that works on the run."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_which_is_first(holder, tmp_path):
    words = (
        rf"^toy-1: process {holder.pid} of this machine works on this run; wait for it or cancel"
    )
    with pytest.raises(ClaimError, match=words), claimed_here(tmp_path / "lock", "toy-1"):
        pass


def test_the_claim_of_a_process_that_was_killed_is_free(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with claimed_here(tmp_path / "lock", "toy-1"):
        assert (tmp_path / "lock").read_text() == f"process {os.getpid()} of this machine"


def test_a_claim_can_be_taken_again_after_its_block(tmp_path):
    for _ in range(2):
        with claimed_here(tmp_path / "lock", "toy-1"):
            pass


def test_only_one_is_in_a_block_at_a_time(tmp_path):
    body = """
import sys, time
from pathlib import Path
from relex.claim import one_at_a_time
place = Path(sys.argv[1])
for _ in range(20):
    with one_at_a_time(place / "lock"):
        (place / "inside").touch(exist_ok=False)
        time.sleep(0.005)
        (place / "inside").unlink()
"""
    command = [sys.executable, "-c", body, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    with one_at_a_time(tmp_path / "lock"):
        pass


@pytest.fixture
def quick(monkeypatch):
    """The same rules with shorter times, but patience with one that lives and is slow."""
    monkeypatch.setattr(claim, "RENEWAL_SECONDS", 0.05)
    monkeypatch.setattr(claim, "DEAD_SECONDS", 3600.0)
    monkeypatch.setattr(claim, "SETTLE_SECONDS", 0.05)


def test_another_place_is_refused_while_the_first_lives(s3, quick):
    store = s3.store("run")
    with (
        claimed_in(store, "one:/home", "toy-1"),
        pytest.raises(ClaimError, match=r"^toy-1: one:/home works on this run"),
        claimed_in(store, "two:/home", "toy-1"),
    ):
        pass
    assert store.size(CLAIM_FILE) is None


def test_the_claim_of_a_place_that_died_is_taken_over(s3, quick, monkeypatch):
    monkeypatch.setattr(claim, "DEAD_SECONDS", 0.2)
    store = s3.store("run")
    store.put(CLAIM_FILE, b'{"place": "one:/home", "process": 1, "token": "old"}')
    with claimed_in(store, "two:/home", "toy-1"):
        assert b"two:/home" in store.get(CLAIM_FILE)


def test_an_older_claim_of_the_same_place_is_taken_over_at_once(s3, quick):
    store = s3.store("run")
    store.put(CLAIM_FILE, b'{"place": "one:/home", "process": 1, "token": "old"}')
    with claimed_in(store, "one:/home", "toy-1"):
        pass


def test_of_two_that_claim_in_the_same_moment_the_last_writer_goes_on(s3, quick, monkeypatch):
    store = s3.store("run")

    def write_over(seconds: float) -> None:
        store.put(CLAIM_FILE, b'{"place": "two:/home", "process": 1, "token": "theirs"}')

    monkeypatch.setattr(claim.time, "sleep", write_over)
    with (
        pytest.raises(ClaimError, match=r"^toy-1: two:/home works on this run"),
        claimed_in(store, "one:/home", "toy-1"),
    ):
        pass
    assert b"theirs" in store.get(CLAIM_FILE)


def test_a_block_that_fails_gives_the_claim_back(s3, quick):
    store = s3.store("run")
    with pytest.raises(ZeroDivisionError), claimed_in(store, "one:/home", "toy-1"):
        raise ZeroDivisionError
    assert store.size(CLAIM_FILE) is None

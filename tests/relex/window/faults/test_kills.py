"""A writer that is killed at any phase leaves a window of the acknowledged steps."""

import signal
import subprocess
import sys

import pytest
import torch

from relex.storage import open_store
from relex.window import check_window, open_window, open_writer

STEPS = (1, 2, 3)

# Kills itself before or after one call of the store, or at one write of the delta file, and says
# which steps were acknowledged before.
WRITER = """
import os, signal, sys
from pathlib import Path
from relex.checkpoints import Checkpoint, TensorFileWriter
from relex.storage import S3Connection, open_store
from relex.window import open_writer

uri, connection, root, phase, number = sys.argv[1:]
number = int(number)

def counted(owner, name):
    inner = getattr(owner, name)
    def call(*arguments):
        global number
        number -= 1
        if number == -1 and phase == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = inner(*arguments)
        if number == -1 and phase == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, call)

store = open_store(uri, S3Connection.model_validate_json(connection))
if phase == "encoding":
    phase = "before"
    counted(TensorFileWriter, "append")
else:
    for name in ("put", "put_file", "get", "read", "size", "list", "delete"):
        counted(store, name)
folder = Path(root)
writer = open_writer(store, Checkpoint(folder / "base"), "float32", (1, 2, 3))
writer.drop_after(2)
for step in writer.missing_steps:
    writer.append(step, Checkpoint(folder / "checkpoints" / f"step_{step}"))
    print(step, flush=True)
writer.finish()
print("finished", flush=True)
"""


@pytest.fixture
def killed_at(store, request, tmp_path, base, checkpoints, tensors, snapshot):
    """Runs the writer, killed at a call; returns False when it ended before. Checks the rest."""
    connection = request.getfixturevalue("s3").connection if "s3://" in store.uri else None
    text = connection.model_dump_json() if connection else "{}"
    checkpoints({f"step_{step}": tensors(step) for step in STEPS})

    def run(phase: str, number: int) -> bool:
        uri = f"{store.uri}/{phase}-{number}"
        writer = subprocess.run(
            [sys.executable, "-c", WRITER, uri, text, str(tmp_path), phase, str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        if "finished" in writer.stdout:
            return False
        assert writer.returncode == -signal.SIGKILL
        acknowledged = [int(line) for line in writer.stdout.split()]
        continued = open_writer(open_store(uri, connection), base, "float32", STEPS)
        assert list(continued.steps)[: len(acknowledged)] == acknowledged
        assert len(continued.steps) <= len(acknowledged) + 1
        if continued.steps:
            assert check_window(uri, connection, base=base) == len(continued.steps)
        for step in continued.missing_steps:
            continued.append(step, snapshot(step))
        continued.finish()
        assert check_window(uri, connection, base=base) == len(STEPS)
        window = open_window(uri, connection, base)
        for step in STEPS:
            assert torch.equal(window.read(step, "a.weight"), snapshot(step).read("a.weight"))
        return True

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "every"), [("before", 3), ("after", 3), ("encoding", 2)])
def test_the_acknowledged_steps_survive_a_kill_at_any_call(killed_at, phase, every, capsys):
    num_kills = 0
    while killed_at(phase, every * num_kills):
        num_kills += 1
    assert num_kills >= 3
    with capsys.disabled():
        print(f"\nkilled {phase}: {num_kills} times")

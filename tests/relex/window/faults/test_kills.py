"""A writer that is killed at any phase leaves a window of the acknowledged steps."""

import json
import subprocess
import sys

import pytest
import torch

from relex.storage import open_store
from relex.window import check_window, open_window, open_writer

STEPS = (1, 2, 3)

# For each line "PHASE NUMBER" forks a writer that kills itself at that call of the phase, and says
# which steps it had acknowledged before, and whether it was killed at all.
WRITERS = """
import json, os, shutil, signal, sys
from pathlib import Path
import botocore.client
import relex.window.codec.delta_writer
from relex.checkpoints import Checkpoint, TensorFileWriter
from relex.storage import S3Connection, open_store
from relex.window import open_writer

connection, root = S3Connection.model_validate_json(sys.argv[1]), Path(sys.argv[2])
CALLS = {
    "encoding": [(relex.window.codec.delta_writer, "encode_block"), (TensorFileWriter, "append")],
    "inside": [
        (botocore.client.BaseClient, "_make_api_call"), (shutil, "copyfile"), (os, "fsync"),
        (os, "replace"), (Path, "replace"),
    ],
}

def killed_at(number, owner, name, after):
    inner = getattr(owner, name)
    def call(*arguments, **options):
        global num_calls
        num_calls += 1
        here = num_calls == number
        if here and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = inner(*arguments, **options)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, call)

def write(uri, phase, number, say):
    store = open_store(uri, connection)
    names = ("put", "put_file", "get", "read", "size", "list", "delete")
    for owner, name in CALLS.get(phase, [(store, name) for name in names]):
        killed_at(number, owner, name, after=phase == "after")
    writer = open_writer(store, Checkpoint(root / "base"), "float32", (1, 2, 3))
    writer.drop_after(2)
    for step in writer.missing_steps:
        writer.append(step, Checkpoint(root / "checkpoints" / f"step_{step}"))
        os.write(say, f"{step} ".encode())
    writer.finish()

for line in sys.stdin:
    uri, phase, number = json.loads(line)
    num_calls = 0
    hear, say = os.pipe()
    child = os.fork()
    if child == 0:
        write(uri, phase, number, say)
        os._exit(0)
    os.close(say)
    with os.fdopen(hear) as pipe:
        acknowledged = [int(step) for step in pipe.read().split()]
    status = os.waitpid(child, 0)[1]
    print(json.dumps([os.waitstatus_to_exitcode(status) == -signal.SIGKILL, acknowledged]))
    sys.stdout.flush()
"""


@pytest.fixture
def killed_at(store, request, tmp_path, base, checkpoints, tensors, snapshot):
    """Runs the writer, killed at a call; returns False when it ended before. Checks the rest."""
    connection = request.getfixturevalue("s3").connection if "s3://" in store.uri else None
    checkpoints({f"step_{step}": tensors(step) for step in STEPS})
    text = connection.model_dump_json() if connection else "{}"

    def continue_and_check(uri: str, acknowledged: list[int]) -> None:
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

    with subprocess.Popen(
        [sys.executable, "-c", WRITERS, text, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writers:

        def run(phase: str, number: int) -> bool:
            assert writers.stdin is not None and writers.stdout is not None
            uri = f"{store.uri}/{phase}-{number}"
            writers.stdin.write(json.dumps([uri, phase, number]) + "\n")
            writers.stdin.flush()
            was_killed, acknowledged = json.loads(writers.stdout.readline())
            if was_killed:
                continue_and_check(uri, acknowledged)
            else:
                assert acknowledged == list(STEPS)
            return was_killed

        yield run


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["before", "after", "inside", "encoding"])
def test_the_acknowledged_steps_survive_a_kill_at_every_call(killed_at, phase, count_faults):
    """Before and after every call of the store, before every request to S3 or change on the disk,
    and before every block that is encoded or written."""
    num_kills = 0
    while killed_at(phase, num_kills + 1):
        num_kills += 1
    assert num_kills >= 12
    count_faults(f"killed {phase}", num_kills)
